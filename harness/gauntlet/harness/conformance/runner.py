"""Runs cases on a target, or on two and compares their answers."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from pathlib import Path

from gauntlet.api.errors import RpcError
from gauntlet.harness.conformance.arena import Arena, NotPossible
from gauntlet.harness.conformance.case import Case, Needs, show_version
from gauntlet.harness.conformance.expect import Mismatch, words
from gauntlet.harness.conformance.known import known
from gauntlet.harness.conformance.talk import Exchange, Place, Talk
from gauntlet.harness.targets.base import TargetError

JOBS = 4
PIECE = 60  # cases of a piece of work at most


class Status(Enum):
    PASS = "pass"  # noqa: S105 - the word for success
    FAIL = "fail"
    DIFFERENT = "different"  # only with --against
    NOT_OFFERED = "not offered"
    KNOWN = "known upstream bug"
    NOT_POSSIBLE = "not possible"

    @property
    def bad(self) -> bool:
        return self in (Status.FAIL, Status.DIFFERENT)


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    status: Status
    detail: str = ""
    seconds: float = 0.0
    record: tuple[Exchange, ...] = field(default=(), repr=False)


@dataclass(slots=True)
class Outcome:
    """One run of the suite."""

    target: str
    version: str
    against: str | None
    against_version: str
    seed: int
    results: list[Result]
    seconds: float

    @property
    def ok(self) -> bool:
        return not any(result.status.bad for result in self.results)

    def count(self, status: Status) -> int:
        return sum(result.status is status for result in self.results)


Tell = Callable[[Result], None]


def _quiet(_result: Result) -> None:
    """Where results go when nobody watches."""


def prefix_of(case: Case, nonce: str) -> bytes:
    """Ends in a slash; the same for both targets of a comparison, another one in every run."""
    return f"conformance/{nonce}/{case.name}/".encode()


def lease_base_of(case: Case, nonce: str) -> int:
    """Room for a million ids that no other case uses, far below those that a server chooses."""
    return (zlib.crc32(f"{nonce}{case.name}".encode()) >> 1) * 1_000_000


async def run_case(case: Case, arena: Arena, nonce: str) -> Result:
    """One case on one target; never raises for what the target does."""
    started = time.monotonic()
    try:
        if arena.version is None:
            await arena.place(Needs())
        assert arena.version is not None
        if not case.offered_by(arena.version):
            return Result(case, Status.NOT_OFFERED, case.offered_text())
        place = await arena.place(case.needs)
    except NotPossible as error:
        return Result(case, Status.NOT_POSSIBLE, str(error))
    except TargetError as error:
        return Result(case, Status.FAIL, f"the target does not start: {error}", time.monotonic() - started)
    record: tuple[Exchange, ...] = ()
    try:
        talk = await _talk(case, place, nonce)
        detail = await _attempt(case, talk)
        record = tuple(talk.record)
    except RpcError as error:
        detail = f"the target does not answer: {error}"
    await arena.after(case.needs, place)
    seconds = time.monotonic() - started
    if not detail:
        return Result(case, Status.PASS, "", seconds, record)
    bug = known(case.name, arena.version)
    if bug is not None:
        return Result(case, Status.KNOWN, f"{bug.where}: {bug.why}", seconds, record)
    return Result(case, Status.FAIL, detail, seconds, record)


async def _talk(case: Case, place: Place, nonce: str) -> Talk:
    talk = Talk(place, prefix_of(case, nonce), 0, lease_base_of(case, nonce))
    try:
        base = await talk.revision()
    except RpcError:
        await talk.close()
        raise
    talk.base = talk.names.base = base
    return talk


async def _attempt(case: Case, talk: Talk) -> str:
    """Why the case failed, or nothing."""
    try:
        async with asyncio.timeout(case.timeout):
            await case.body(talk)
    except Mismatch as mismatch:
        return str(mismatch)
    except RpcError as error:
        last = f" (to {talk.record[-1].path} {talk.record[-1].request})" if talk.record else ""
        return f"expected an answer, got {words(error)}{last}"
    except TimeoutError:
        last = f"; last: {talk.record[-1].path}" if talk.record else ""
        return f"expected an end within {case.timeout:g} s, got none{last}"
    except (OSError, ValueError, LookupError, AttributeError) as error:
        return f"expected a usable answer, got {type(error).__name__}: {error}"
    finally:
        await talk.close()
    return ""


def compare(case: Case, one: Result, other: Result, names: Sequence[str]) -> Result:
    """The result of a comparison: the exchanges of both must read the same."""
    seconds = one.seconds + other.seconds
    for result in (one, other):
        if result.status in (Status.NOT_OFFERED, Status.NOT_POSSIBLE):
            return Result(case, result.status, result.detail, seconds)
    bug = next((result for result in (one, other) if result.status is Status.KNOWN), None)

    def apart(text: str) -> Result:
        if bug is None:
            return Result(case, Status.DIFFERENT, text, seconds)
        return Result(case, Status.KNOWN, f"{bug.detail}; {text}", seconds)

    if case.compared and (one.status is other.status or (one.record and other.record)):
        for number, (left, right) in enumerate(zip_longest(one.record, other.record), 1):
            text = difference(left, right, names)
            if text:
                return apart(f"exchange {number}: {text}")
    if one.status is not other.status:
        found = zip(names, (one, other), strict=True)
        return apart("; ".join(f"{name}: {result.status.value} {result.detail}" for name, result in found))
    return Result(case, one.status, one.detail, seconds, one.record)


def difference(left: Exchange | None, right: Exchange | None, names: Sequence[str]) -> str:
    """In what two exchanges differ, in words; empty when they do not."""
    if left is None or right is None:
        there = left or right
        assert there is not None
        missing = names[0] if left is None else names[1]
        return f"{missing} has no exchange where the other has {there.path} {there.request} -> {there.answer}"
    if (left.path, left.request, left.via) != (right.path, right.request, right.via):
        return f"{names[0]} was asked {left.path} {left.request}, {names[1]} {right.path} {right.request}"
    if left.answer != right.answer:
        asked = f"{left.path} {left.request}".strip()
        return f"{asked}: {names[0]} answered {left.answer}; {names[1]} answered {right.answer}"
    return ""


def shares(cases: Sequence[Case]) -> list[list[Case]]:
    """The work in pieces: cases of a piece need the same members. The longest come first."""
    by_needs: dict[Needs, list[Case]] = {}
    for case in cases:
        by_needs.setdefault(case.needs, []).append(case)
    pieces = []
    for needs, same in by_needs.items():
        size = 1 if needs.fresh else PIECE
        pieces += [same[at : at + size] for at in range(0, len(same), size)]
    return sorted(pieces, key=len, reverse=True)


async def run_suite(
    target: str,
    cases: Iterable[Case],
    *,
    against: str | None = None,
    seed: int | None = None,
    directory: Path | None = None,
    toxiproxy: str = "auto",
    jobs: int = JOBS,
    tell: Tell = _quiet,
) -> Outcome:
    """All the cases; `tell` is called after each. The results come in the order of the cases.

    `jobs` cases run at once, each on clusters of its own: no two are ever on the same member. Somebody's
    cluster is there only once, so there it is one case after the other.
    """
    started = time.monotonic()
    seed = secrets.randbelow(2**31) if seed is None else seed
    nonce = f"{seed:x}"
    chosen = list(cases)
    specs = [target] if against is None else [target, against]
    work = deque(shares(chosen))
    if any(spec.startswith("endpoints:") for spec in specs):
        jobs = 1
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory(prefix="gauntlet-conformance-") as scratch:
        folder = directory or Path(scratch)
        lanes = [
            [Arena(spec, folder / f"{job}-{number}", toxiproxy) for number, spec in enumerate(specs)]
            for job in range(min(jobs, len(work)))
        ]
        arenas = lanes[0]
        try:
            await asyncio.gather(*(arena.place(Needs()) for arena in arenas))
            names = [f"{arena.spec} ({arena.version_text})" for arena in arenas]

            async def run(lane: list[Arena]) -> None:
                while work:
                    for case in work.popleft():
                        found = await asyncio.gather(*(run_case(case, arena, nonce) for arena in lane))
                        result = found[0] if len(found) == 1 else compare(case, found[0], found[1], names)
                        results[case.name] = result
                        tell(result)

            async with asyncio.TaskGroup() as running:
                for lane in lanes:
                    running.create_task(run(lane))
        finally:
            await asyncio.shield(asyncio.gather(*(arena.close() for lane in lanes for arena in lane)))
    versions = [show_version(arena.version) if arena.version else "?" for arena in arenas]
    return Outcome(
        target=target,
        version=versions[0],
        against=against,
        against_version=versions[1] if against else "",
        seed=seed,
        results=[results[case.name] for case in chosen],
        seconds=time.monotonic() - started,
    )
