"""A Hypothesis state machine: random steps on two targets, compared step by step, a difference made short.

Rules:
1. Every sequence begins with an empty store of the same revision on both targets and ends with a comparison
   of all events, all pairs, the hash of all keys, and all leases.
2. Steps go to both targets at once and one after the other; the next one waits for both answers.
3. After a second voter nothing is sent but reads that need no quorum, and both targets are started anew.
4. Events are compared when they must have come: before a compaction (which may take a previous value away)
   and at the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.arena import Arena
from gauntlet.harness.conformance.random.draws import STEPS
from gauntlet.harness.conformance.random.paste import case_source
from gauntlet.harness.conformance.random.side import Side
from gauntlet.harness.conformance.random.steps import AnyStep, is_compaction
from gauntlet.harness.conformance.talk import ALL
from gauntlet.harness.targets.base import TargetSpecError
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

LENGTH = 40  # steps of a sequence, unless it is cut short
SHRINK_SECONDS = 30.0
POLISH = 60  # replays at most
_SETTLE = 3.0  # seconds that a late event is waited for before it counts as missing
_APART = 500  # revisions that one side is brought forward rather than both started anew


class DifferenceFound(AssertionError):
    """The two targets do not agree. Raised for Hypothesis; what it says is kept in `Difference`."""


@dataclass(frozen=True, slots=True)
class Difference:
    steps: tuple[AnyStep, ...]
    where: str
    answers: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a random comparison: the same, or the shortest difference as text."""

    same: bool
    text: str
    steps: int  # that were sent, shrinking included
    sequences: int
    difference: Difference | None = None


class Duel:
    """Both sides and the loop they live in; what the state machine, which is synchronous, talks to."""

    def __init__(self, arenas: tuple[Arena, Arena], runner: asyncio.Runner) -> None:
        self._runner = runner
        self.sides = (Side(arenas[0]), Side(arenas[1]))
        self.steps: list[AnyStep] = []
        self.sent = 0
        self.sequences = 0
        self.found: list[Difference] = []
        self.shrink_seconds = SHRINK_SECONDS
        self._first_found: float | None = None

    @property
    def names(self) -> tuple[str, str]:
        return self.sides[0].name, self.sides[1].name

    @property
    def shrunk_enough(self) -> bool:
        """The time for shrinking is over; from now on nothing is sent, and Hypothesis comes to an end."""
        return self._first_found is not None and time.monotonic() - self._first_found > self.shrink_seconds

    def begin(self) -> None:
        self.steps = []
        if self.shrunk_enough:
            return
        self.sequences += 1
        revisions = self._both(lambda side: side.begin())
        if abs(revisions[0] - revisions[1]) > _APART:
            self._both(lambda side: side.discard())
            revisions = self._both(lambda side: side.begin())
        base = max(revisions) + 2
        self._both(lambda side: side.stand_at(base))

    @property
    def _halted(self) -> bool:
        return any(side.halted for side in self.sides)

    def do(self, step: AnyStep) -> None:
        if self.shrunk_enough or self._halted:
            return
        if is_compaction(step):
            self._compare_events()
        self.steps.append(step)
        self.sent += 1
        self._same("the last step", self._both(lambda side: side.do(step)))

    def finish(self) -> None:
        """The comparison of everything, then the connections are closed."""
        if self.shrunk_enough:
            return
        halted = self._halted
        requests: list[Message] = [
            pb.RangeRequest(key=b"\0", range_end=ALL, serializable=halted),
            pb.HashKVRequest(),
            pb.AuthStatusRequest(),
            pb.MemberListRequest(linearizable=False),
        ]
        try:
            self._both(lambda side: side.blocked.cancel(look=not halted))
            if not halted:
                self._compare_events()
                requests.append(pb.LeaseLeasesRequest())
            for request in requests:
                self._same_at_last(f"{request.DESCRIPTOR.name} at the end", request)
        finally:
            self._both(lambda side: side.end())

    def _same_at_last(self, where: str, request: Message) -> None:
        """A call that was cancelled may take its key away a little later."""
        deadline = time.monotonic() + _SETTLE

        async def ask(side: Side) -> str:
            return side.names.outcome(await side.ask(request))

        answers = self._both(ask)
        while answers[0] != answers[1] and time.monotonic() < deadline:
            self._runner.run(asyncio.sleep(0.05))
            answers = self._both(ask)
        self._same(where, answers)

    def end(self) -> None:
        self._both(lambda side: side.end())

    def _compare_events(self) -> None:
        async def flush(side: Side) -> str:
            try:
                await side.flush()
            except (RpcError, TimeoutError, EOFError) as error:
                return f"no event of the sentinel: {type(error).__name__}"
            return ""

        blocked = self._both(flush)
        if all(blocked):
            return  # neither takes a put now, for an alarm or for want of a permission
        self._same("the sentinel's event", blocked)
        self._runner.run(self._settle())
        left, right = self.sides[0].seen(), self.sides[1].seen()
        for key in sorted({*left, *right}):
            texts = ("\n".join(left.get(key, ["nothing"])), "\n".join(right.get(key, ["nothing"])))
            self._same(f"what watcher {key[1]} of stream {key[0]} saw", texts)

    async def _settle(self) -> None:
        """Reads on while the sides differ, for a while: watchers of history do not wait for the sentinel."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLE
        while self.sides[0].seen() != self.sides[1].seen() and loop.time() < deadline:
            streams = [stream for side in self.sides for stream in side.streams.values()]
            await asyncio.gather(*(stream.read(0.05) for stream in streams), return_exceptions=True)

    def _both(self, work: Callable[[Side], Any]) -> tuple[Any, Any]:
        async def run() -> tuple[Any, Any]:
            left, right = await asyncio.gather(*(work(side) for side in self.sides))
            return left, right

        return self._runner.run(run())

    def _same(self, where: str, answers: tuple[str, str]) -> None:
        if answers[0] != answers[1]:
            if self._first_found is None:
                self._first_found = time.monotonic()
            self.found.append(Difference(tuple(self.steps), where, answers))
            raise DifferenceFound(where)


def _machine(duel: Duel, kinds: Collection[str]) -> type[RuleBasedStateMachine]:
    """One rule a kind of step, so that Hypothesis can leave kinds out and find what only some bring about."""

    class Sequence(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self._failed = False
            duel.begin()

        def perform(self, step: AnyStep) -> None:
            try:
                duel.do(step)
            except DifferenceFound:
                self._failed = True
                raise

        def teardown(self) -> None:
            if self._failed:
                duel.end()
            else:
                duel.finish()

    def make(name: str) -> Callable[[Any, AnyStep], None]:
        def body(self: Any, step: AnyStep) -> None:
            self.perform(step)

        body.__name__ = name
        return body

    rules = {
        f"do_{name}": rule(step=strategy)(make(f"do_{name}"))
        for name, strategy in STEPS.items()
        if name in kinds
    }
    return type("RandomSteps", (Sequence,), rules)


def polish(duel: Duel, difference: Difference) -> Difference:
    """Leaves out one step after the other, as long as the targets still differ: what time was short for."""
    duel.shrink_seconds = float("inf")
    best, number = difference, 0
    for _ in range(POLISH):
        if number >= len(best.steps):
            break
        shorter = replay(duel, [*best.steps[:number], *best.steps[number + 1 :]])
        if shorter is None:
            number += 1
        else:
            best = shorter
    return best


def replay(duel: Duel, steps: Sequence[AnyStep]) -> Difference | None:
    """These steps on both targets; where they differ, if they do."""
    before = len(duel.found)
    duel.begin()
    try:
        for step in steps:
            duel.do(step)
        duel.finish()
    except DifferenceFound:
        duel.end()
    return duel.found[-1] if len(duel.found) > before else None


def run_random(
    target: str, against: str, steps: int, chosen_seed: int, directory: Path, toxiproxy: str = "auto"
) -> Found:
    """About so many steps on both targets, or fewer when a difference is found; then its shortest form."""
    for spec in (target, against):
        if spec.startswith("endpoints:"):
            raise TargetSpecError(f"{spec}: random steps delete everything; give a target that we start")
    arenas = (
        Arena(target, directory / "target", toxiproxy),
        Arena(against, directory / "against", toxiproxy),
    )
    with asyncio.Runner() as runner:
        try:
            return fight(Duel(arenas, runner), steps, chosen_seed)
        finally:
            for arena in arenas:
                runner.run(arena.close())


def fight(duel: Duel, steps: int, chosen_seed: int, kinds: Collection[str] = STEPS.keys()) -> Found:
    """`kinds` are those of draws.STEPS to draw from."""
    machine = seed(chosen_seed)(_machine(duel, kinds))
    length = min(LENGTH, steps)
    options = settings(
        max_examples=max(1, -(-steps // length)),
        stateful_step_count=length,
        deadline=None,
        database=None,
        print_blob=False,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=options)
    except (DifferenceFound, Flaky):
        difference = min(duel.found, key=lambda item: (len(item.steps), len(str(item.steps))))
        difference = polish(duel, difference)
        return Found(False, _text(duel, difference, chosen_seed), duel.sent, duel.sequences, difference)
    text = f"{duel.sent} steps in {duel.sequences} sequences on {' and '.join(duel.names)}: no difference"
    return Found(True, f"{text} (seed {chosen_seed}){_restarts(duel)}", duel.sent, duel.sequences)


def _restarts(duel: Duel) -> str:
    """A member that did not answer at the start of a sequence is nothing to be silent about."""
    return "".join(
        f"\n{side.name} was started anew {len(side.restarts)} times, first because of {side.restarts[0]}"
        for side in duel.sides
        if side.restarts
    )


def _text(duel: Duel, difference: Difference, chosen_seed: int) -> str:
    answers = tuple(zip(duel.names, difference.answers, strict=True))
    lines = [f"difference in {difference.where}, after {duel.sent} steps (seed {chosen_seed}):"]
    lines += [f"  {name}: {text}" for name, text in answers]
    lines += [_restarts(duel), case_source(f"difference_{chosen_seed}", difference.steps, answers)]
    return "\n".join(lines)
