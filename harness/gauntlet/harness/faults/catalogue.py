"""Every fault by its name: what it does, what it needs, how its parameters are drawn.

Drawing is pure: a seeded random and the names of the members in, JSON values out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from gauntlet.harness.faults import network, process
from gauntlet.harness.faults.base import LEADER, Fault, FaultContext, Params, Refused
from gauntlet.harness.targets.base import NETWORK, PEER_NETWORK, PROCESS
from gauntlet.harness.tools.cache import ToolError

__all__ = ["FAULTS", "GROUPS", "Fault", "FaultKind", "FaultSpecError", "Refused", "parse_faults"]


class FaultSpecError(ToolError):
    """What was asked for with --faults is not a list of faults."""


Draw = Callable[[Random, Sequence[str]], dict[str, Any]]
Build = Callable[[str, Params, FaultContext], Fault]


@dataclass(frozen=True, slots=True)
class FaultKind:
    name: str
    kind: str  # network, client, process: the class of fault in records
    needs: str  # a capability of the target
    about: str
    draw: Draw
    build: Build
    least_members: int = 1
    seconds: tuple[float, float] = (
        2.0,
        5.0,
    )  # how long it lasts, shortest and longest, in a run of 30 s or more
    least_seconds: float = 0.0  # what it needs to come to anything; a short run does not shrink it further
    quiet_seconds: float = 0.0  # what the cluster needs afterwards to serve again; not shrunk either
    takes_down: Callable[[Params, Sequence[str]], int] = lambda _params, _members: 0  # members, at most

    def refusal(self, capabilities: Iterable[str], members: Sequence[str]) -> str | None:
        """Why it cannot be done on such a target, or None."""
        if self.needs not in capabilities:
            return f"{self.name} needs {self.needs} faults, which this target does not allow"
        if len(members) < self.least_members:
            return f"{self.name} needs at least {self.least_members} members, not {len(members)}"
        return None


def _pair(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {"pair": sorted(random.sample(members, 2))}


def _direction(random: Random, members: Sequence[str]) -> dict[str, Any]:
    source, target = random.sample(members, 2)
    return {"from": source, "to": target}


def _member(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {"member": random.choice(members)}


def _leader(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {"member": LEADER, "otherwise": random.choice(members)}


def _member_or_leader(random: Random, members: Sequence[str]) -> dict[str, Any]:
    """The leader is where it hurts, so it is hit more often than its share."""
    return _leader(random, members) if random.random() < 0.4 else _member(random, members)


def _comeback(random: Random, members: Sequence[str]) -> dict[str, Any]:
    member, otherwise = random.sample(members, 2)
    return {"member": member, "otherwise": otherwise, "lag": round(random.uniform(0.8, 1.5), 2)}


def _sides(random: Random, members: Sequence[str]) -> dict[str, Any]:
    shuffled = random.sample(members, len(members))
    half = len(shuffled) // 2
    return {"sides": [sorted(shuffled[:half]), sorted(shuffled[half:])]}


def _bridge(random: Random, members: Sequence[str]) -> dict[str, Any]:
    bridge, *rest = random.sample(members, len(members))
    half = len(rest) // 2
    return {"bridge": bridge, "sides": [sorted(rest[:half]), sorted(rest[half:])]}


def _circle(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {"circle": random.sample(members, len(members))}


def _delay(random: Random) -> dict[str, Any]:
    latency = random.choice((10, 25, 50, 100, 200))
    return {"latency": latency, "jitter": random.choice((0, latency // 4, latency // 2))}


def _slow(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {"member": random.choice([*members, "all"]), **_delay(random)}


def _narrow(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {**_member(random, members), "rate": random.choice((2, 8, 32, 128))}


def _reset(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {"member": random.choice([*members, "all"]), "every": random.choice((0.3, 0.7, 1.5))}


def _client_mute(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {**_member(random, members), "lost": random.choice(("requests", "answers"))}


def _client_slow(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {**_member(random, members), **_delay(random)}


def _client_reset(random: Random, members: Sequence[str]) -> dict[str, Any]:
    return {**_member(random, members), "every": random.choice((0.3, 0.7, 1.5))}


def _nothing(_random: Random, _members: Sequence[str]) -> dict[str, Any]:
    return {}


def _one(_params: Params, _members: Sequence[str]) -> int:
    return 1


def _all(_params: Params, members: Sequence[str]) -> int:
    return len(members)


def _network(name: str, about: str, draw: Draw, build: Build, least: int) -> FaultKind:
    return FaultKind(name, "network", PEER_NETWORK, about, draw, build, least)


def _client(name: str, about: str, draw: Draw, build: Build) -> FaultKind:
    return FaultKind(name, "client", NETWORK, about, draw, build, seconds=(1.0, 4.0))


FAULTS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        _network("cut", "two members cannot talk to each other", _pair, network.Cut, 2),
        _network("mute", "what one member says to another is lost", _direction, network.Mute, 2),
        _network("isolate", "one member is cut off from the others", _member, network.Isolate, 2),
        _network("isolate-leader", "the leader is cut off from the others", _leader, network.Isolate, 2),
        FaultKind(
            "comeback",
            "process",
            PROCESS,
            "a member that missed writes comes back as the leader is cut off and the rest restarts",
            _comeback,
            network.Comeback,
            least_members=3,
            seconds=(4.5, 6.0),
            least_seconds=4.5,
            takes_down=_all,
        ),
        _network("split", "the cluster falls in two halves", _sides, network.Split, 2),
        _network("ring", "each member hears only its neighbours on a circle", _circle, network.Ring, 3),
        _network("bridge", "two halves hear each other through one member only", _bridge, network.Bridge, 3),
        _network("latency", "messages of members come late, with jitter", _slow, network.Slow, 2),
        _network("bandwidth", "one member's links are narrow", _narrow, network.Narrow, 2),
        _network("reset", "connections between members are killed", _reset, network.Reset, 2),
        _client("client-cut", "the clients of one member are cut off", _member, network.ClientCut),
        _client(
            "client-mute", "requests to or answers of one member are lost", _client_mute, network.ClientMute
        ),
        _client("client-latency", "the clients of one member are far away", _client_slow, network.ClientSlow),
        _client(
            "client-bandwidth", "the clients of one member have narrow links", _narrow, network.ClientNarrow
        ),
        _client("client-reset", "connections of clients are killed", _client_reset, network.ClientReset),
        FaultKind(
            "kill",
            "process",
            PROCESS,
            "one member is killed and restarted on its data",
            _member_or_leader,
            process.Kill,
            seconds=(0.5, 3.0),
            takes_down=_one,
        ),
        FaultKind(
            "kill-all",
            "process",
            PROCESS,
            "every member is killed and restarted on its data",
            _nothing,
            process.KillAll,
            seconds=(0.3, 1.5),
            quiet_seconds=3.5,  # processes start, and an election times out first
            takes_down=_all,
        ),
        FaultKind(
            "pause",
            "process",
            PROCESS,
            "one member is stopped and continued",
            _member_or_leader,
            process.Pause,
            seconds=(0.5, 4.0),
            takes_down=_one,
        ),
    )
}

GROUPS: dict[str, tuple[str, ...]] = {
    "all": tuple(FAULTS),
    "none": (),
    "network": tuple(kind.name for kind in FAULTS.values() if kind.kind in ("network", "client")),
    "peer": tuple(kind.name for kind in FAULTS.values() if kind.kind == "network"),
    "client": tuple(kind.name for kind in FAULTS.values() if kind.kind == "client"),
    "process": tuple(kind.name for kind in FAULTS.values() if kind.kind == "process"),
}


def parse_faults(text: str) -> list[FaultKind]:
    """Names and groups, separated by commas; each fault once, in the order of the catalogue."""
    wanted: set[str] = set()
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word in GROUPS:
            wanted.update(GROUPS[word])
        elif word in FAULTS:
            wanted.add(word)
        else:
            raise FaultSpecError(
                f"unknown fault {word!r}; known are {', '.join(FAULTS)}; groups: {', '.join(GROUPS)}"
            )
    if "none" in words and len(words) > 1:
        raise FaultSpecError(f"--faults {text}: none goes with nothing else")
    return [kind for kind in FAULTS.values() if kind.name in wanted]
