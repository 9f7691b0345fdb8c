"""What a run is to do: everything that decides it, as one value, as JSON, as the command that repeats it."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

DEFAULT_FAULTS = "all"
LEAST_DURATION = 0.5  # seconds


class PlanError(ValueError):
    """A value no run can have, said in one line."""


@dataclass(frozen=True, slots=True)
class Plan:
    target: str = "reference"
    nodes: int = 3
    workload: str = "register"
    faults: str = DEFAULT_FAULTS
    duration: float = 25.0  # seconds of load
    rate: float = 200.0  # operations a second, of all clients together
    clients: int = 9
    keys: int = 8
    timeout: float = 1.5  # seconds until an operation is given up
    seed: int = 1
    toxiproxy: str = "auto"
    flags: tuple[str, ...] = ()  # more flags for members: FLAG, or MEMBER:FLAG for one of them
    env: tuple[str, ...] = ()  # environment of members: NAME=VALUE, or MEMBER:NAME=VALUE
    prefix: str = "/gauntlet"  # of every key

    def __post_init__(self) -> None:
        for name in ("nodes", "clients", "keys"):
            if getattr(self, name) < 1:
                raise PlanError(f"--{name} must be at least 1, not {getattr(self, name)}")
        for name in ("rate", "timeout", "duration"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise PlanError(f"--{name} must be a number above 0, not {value:g}")
        if self.duration < LEAST_DURATION:
            raise PlanError(f"--duration must be at least {LEAST_DURATION:g} s, not {self.duration:g}")
        for setting in self.env:
            if "=" not in setting or not self.for_member(setting)[1].partition("=")[0]:
                raise PlanError(f"--env takes NAME=VALUE or MEMBER:NAME=VALUE, not {setting!r}")
        for flag in self.flags:
            if not self.for_member(flag)[1].startswith("-"):
                raise PlanError(f"--flag takes a flag or MEMBER:FLAG, not {flag!r}")
        if not self.prefix or self.prefix.endswith("/"):
            raise PlanError(
                f"the key prefix must be a word that does not end in a slash, not {self.prefix!r}"
            )

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "flags": list(self.flags), "env": list(self.env)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; other fields are passed over. PlanError for nonsense."""
        known: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in value:
                continue
            given, default = value[field.name], field.default
            if isinstance(default, tuple):
                if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
                    raise PlanError(f"{field.name} is {given!r}, not a list of strings")
                given = tuple(given)
            elif isinstance(default, float) and isinstance(given, int) and not isinstance(given, bool):
                given = float(given)
            elif type(given) is not type(default):
                raise PlanError(f"{field.name} is {given!r}, not of type {type(default).__name__}")
            known[field.name] = given
        return cls(**known)

    def command(self) -> str:
        """The command that repeats this run, quoted for a shell; what is left to its default is not in it."""
        words = ["gauntlet", "run"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            option = _OPTIONS.get(field.name, f"--{field.name}")
            if field.name == "prefix" or (value == field.default and field.name not in _ALWAYS):
                continue
            if isinstance(value, tuple):
                for item in value:
                    words.append(f"{option}={item}")
            else:
                words += [option, str(value).removesuffix(".0")]
        return shlex.join(words)

    @staticmethod
    def for_member(setting: str) -> tuple[str | None, str]:
        """(member, rest) of `MEMBER:REST`, where a member is m1, m2 ...; (None, setting) otherwise."""
        member, colon, rest = setting.partition(":")
        if colon and member.startswith("m") and member[1:].isdigit():
            return member, rest
        return None, setting


_OPTIONS = {"flags": "--flag", "env": "--env"}
_ALWAYS = ("target", "seed")
