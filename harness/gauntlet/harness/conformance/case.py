"""What a conformance case is, and the table of all of them.

Rules:
1. A case is a coroutine function of one argument, the `Talk` with the target. Its name says what is
   promised, its docstring says it once more in words where the name is not enough.
2. A case sees an empty prefix of keys of its own and assumes nothing else about the data of the member,
   unless it is of the group "alone" (nothing else is there) or declares `fresh` (a member that nobody wrote
   to). So cases run in any order and any selection.
3. It declares what it needs: since which version the promise exists (and, rarely, until which), how many
   members, which flags, which files. A target that cannot give that is not failed, it is told so.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gauntlet.harness.conformance.talk import Talk

Body = Callable[["Talk"], Awaitable[None]]
Version = tuple[int, int, int]

AREAS = (
    "kv",
    "txn",
    "watch",
    "lease",
    "auth",
    "cluster",
    "maintenance",
    "lock",
    "election",
    "gateway",
    "http",
    "health",
    "limits",
    "errors",
)


def parse_version(text: str) -> Version:
    """`3.7.1` as (3, 7, 1); what follows a dash or plus is left out, and missing numbers are 0."""
    numbers = text.split("-")[0].split("+")[0].split(".")
    if not 1 <= len(numbers) <= 3 or not all(part.isdigit() for part in numbers):
        raise ValueError(f"not a version: {text!r}")
    padded = [int(part) for part in numbers] + [0, 0]
    return padded[0], padded[1], padded[2]


def show_version(version: Version) -> str:
    return ".".join(str(part) for part in version)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the member or members of a case are. Cases with equal needs share a cluster, unless fresh."""

    nodes: int = 1
    flags: tuple[str, ...] = ()
    group: str = "shared"  # "auth": users and roles are removed after every case; "alone": alarms are
    fresh: bool = False

    @property
    def plain(self) -> bool:
        """Any running cluster will do, even somebody else's."""
        return self.nodes == 1 and not self.flags and not self.fresh and self.group == "shared"


@dataclass(frozen=True, slots=True)
class Case:
    area: str
    title: str  # the function's name
    body: Body
    text: str  # one sentence for the report
    since: Version
    until: Version | None  # the first version that does not promise it any more
    needs: Needs
    timeout: float  # seconds
    compared: bool  # False: what it sees depends on time; `--against` then leaves its answers out

    @property
    def name(self) -> str:
        return f"{self.area}.{self.title}"

    def offered_by(self, version: Version) -> bool:
        return self.since <= version and (self.until is None or version < self.until)

    def offered_text(self) -> str:
        text = f"needs {'.'.join(str(part) for part in self.since[:2])}"
        return text if self.until is None else f"{text}, before {show_version(self.until)}"


class Registry:
    """The cases in the order in which they were written down."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def add(self, case: Case) -> None:
        if case.area not in AREAS:
            raise ValueError(f"{case.name}: there is no area {case.area!r}")
        if case.name in self._cases:
            raise ValueError(f"there are two cases {case.name}")
        self._cases[case.name] = case

    def all(self) -> list[Case]:
        order = {area: number for number, area in enumerate(AREAS)}
        return sorted(self._cases.values(), key=lambda case: order[case.area])

    def select(self, areas: Iterable[str] = (), globs: Iterable[str] = ()) -> list[Case]:
        """Those of any of the areas and with a name that any of the patterns matches; none given: all."""
        wanted, patterns = set(areas), tuple(globs)
        return [
            case
            for case in self.all()
            if (not wanted or case.area in wanted)
            and (
                not patterns
                or any(
                    fnmatch.fnmatchcase(case.name, glob) or fnmatch.fnmatchcase(case.title, glob)
                    for glob in patterns
                )
            )
        ]


REGISTRY = Registry()


def case(
    area: str,
    *,
    since: str = "3.4",
    until: str | None = None,
    nodes: int = 1,
    flags: tuple[str, ...] = (),
    group: str = "shared",
    fresh: bool = False,
    timeout: float = 15.0,
    compared: bool = True,
    registry: Registry = REGISTRY,
) -> Callable[[Body], Body]:
    """Enters the function below in the table."""

    def enter(body: Body) -> Body:
        title = getattr(body, "__name__", "")
        lines = (body.__doc__ or "").strip().splitlines()
        registry.add(
            Case(
                area=area,
                title=title,
                body=body,
                text=" ".join(line.strip() for line in lines) or f"{title.replace('_', ' ')}.".capitalize(),
                since=parse_version(since),
                until=None if until is None else parse_version(until),
                needs=Needs(nodes, flags, group, fresh),
                timeout=timeout,
                compared=compared,
            )
        )
        return body

    return enter
