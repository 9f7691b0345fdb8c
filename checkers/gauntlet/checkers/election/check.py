"""The election check. An election is a lock with a value: `lock.tenure` says how both work. Further rules:

1. one_leader: at one revision there is one leader.
2. order: leaders follow one another in the order of their keys' create revisions: whoever leads at a later
   revision has no older key, since the older key would have been there, and led, before.
3. observe: an Observe stream never goes back: (create_revision, mod_revision) of its messages grow.
4. proclaim: only a leader's proclamation is accepted: not after its resignation, nor at a revision after one
   at which a younger key led.
5. resign: who has resigned does not lead at a later revision.

When a message was true: an answer of Leader, at the revision of its header. A message of Observe, at some
revision from its kv's mod_revision to the header's: events of a watch come with the header of a later state.
The header of a Campaign's answer is that of its first txn, which says nothing of when it was elected.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from gauntlet.checkers.guarantees import Tally
from gauntlet.checkers.lock.records import (
    Campaign,
    Done,
    Leader,
    Observe,
    Proclaim,
    Resign,
    Seen,
    recipes,
    words,
)
from gauntlet.checkers.lock.tenure import Holders, World, fail
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch.history import etcd_operations
from porcupine.history import Operation

NAME = "election"
GUARANTEES = (
    "granted",
    "one_leader",
    "order",
    "observe",
    "proclaim",
    "resign",
    "exclusion",
    "kept",
    "fencing",
)


@dataclass(slots=True)
class _Sight:
    """The key created at `token` led at some revision from `low` to `high`."""

    operation: Operation
    token: int
    low: int
    high: int


def judge_elections(calls: Sequence[Operation], world: World) -> CheckResult:
    """calls: of `lock.records`."""
    tally = Tally(GUARANTEES)
    kinds = (Campaign, Proclaim, Resign, Leader, Observe)
    ours = [each for each in calls if isinstance(each.call, kinds)]
    holders, _ = Holders.judged(ours, tally, world)
    names: dict[bytes, list[Operation]] = {}
    for operation in ours:
        if operation.is_ok:
            names.setdefault(operation.call[0], []).append(operation)  # type: ignore[index]  # all have a name
    for group in names.values():
        _Election(group, tally).judge()
    details = {
        "elected": len(holders.held),
        "elections": len(names),
        "sightings": sum(isinstance(each.response, Seen) for each in ours),
        "proclaimed": sum(isinstance(each.call, Proclaim) and each.is_ok for each in ours),
        "resigned": sum(isinstance(each.call, Resign) and each.is_ok for each in ours),
    }
    nothing = None if any(each.is_ok for each in ours) else "no election was held: there is nothing to check"
    return tally.result(NAME, f"{len(holders.held)} leaders", details, world.faults, nothing)


class _Election:
    """The answered operations of one election."""

    def __init__(self, group: Sequence[Operation], tally: Tally) -> None:
        self.group = group
        self.tally = tally
        self.sights = [found for each in group if (found := _sight(each)) is not None]
        self.by_high = sorted(self.sights, key=lambda each: each.high)
        self.highs = [each.high for each in self.by_high]
        self.youngest: list[_Sight] = []
        for sight in self.by_high:
            best = self.youngest[-1] if self.youngest else sight
            self.youngest.append(sight if sight.token > best.token else best)

    def judge(self) -> None:
        self._one_leader()
        self._order()
        self._observe()
        self._resign()
        self._proclaim()

    def _younger_before(self, revision: int, token: int) -> _Sight | None:
        """One that showed, for a revision before this one, a leader with a younger key."""
        place = bisect_left(self.highs, revision)
        found = self.youngest[place - 1] if place else None
        return found if found is not None and found.token > token else None

    def _one_leader(self) -> None:
        at: dict[int, _Sight] = {}
        for sight in self.sights:
            if sight.low != sight.high:
                continue
            self.tally.saw("one_leader")
            other = at.setdefault(sight.low, sight)
            if other.token != sight.token:
                text = (
                    f"At revision {sight.low} there were two leaders, by {words(other.operation)} and by "
                    f"{words(sight.operation)}."
                )
                fail(self.tally, "one_leader", "two leaders", text, other.operation, sight.operation)

    def _order(self) -> None:
        for sight in self.sights:
            self.tally.saw("order")
            other = self._younger_before(sight.low, sight.token)
            if other is not None:
                text = (
                    f"{words(other.operation)} showed a leader at revision {other.high}, and "
                    f"{words(sight.operation)} a leader with an older key at revision {sight.low}."
                )
                fail(self.tally, "order", "an older key led later", text, other.operation, sight.operation)

    def _observe(self) -> None:
        last: dict[str, Operation] = {}
        for operation in sorted(self.group, key=lambda each: each.call_time_ns):
            if not isinstance(operation.call, Observe):
                continue
            self.tally.saw("observe")
            before = last.get(operation.call.observer)
            last[operation.call.observer] = operation
            if before is not None and _place(operation) <= _place(before):
                text = f"{words(before)} was followed by {words(operation)}, which is no newer."
                fail(self.tally, "observe", "observation went back", text, before, operation)

    def _resign(self) -> None:
        gone: dict[int, Operation] = {}
        for operation in self.group:
            call, answer = operation.call, operation.response
            if isinstance(call, Resign) and call.token is not None and isinstance(answer, Done):
                first = gone.get(call.token)
                if answer.revision is not None and (first is None or _revision(first) > answer.revision):
                    gone[call.token] = operation
        self.tally.saw("resign", len(gone))
        for sight in self.sights:
            resigned = gone.get(sight.token)
            if resigned is not None and sight.low >= _revision(resigned):
                text = f"{words(sight.operation)} showed a leader that had resigned by {words(resigned)}."
                fail(self.tally, "resign", "led after resigning", text, resigned, sight.operation)
        for operation in self.group:
            call = operation.call
            resigned = gone.get(call.token or 0) if isinstance(call, Proclaim) else None
            if resigned is not None and operation.call_time_ns > (resigned.return_time_ns or 1 << 62):
                text = f"{words(operation)} was accepted after {words(resigned)}."
                fail(self.tally, "proclaim", "proclaimed after resigning", text, resigned, operation)

    def _proclaim(self) -> None:
        for operation in self.group:
            call, answer = operation.call, operation.response
            if not isinstance(call, Proclaim) or call.token is None or not isinstance(answer, Done):
                continue
            self.tally.saw("proclaim")
            other = None if answer.revision is None else self._younger_before(answer.revision, call.token)
            if other is not None:
                text = (
                    f"{words(operation)} was accepted, although a younger key had led at revision "
                    f"{other.high}, by {words(other.operation)}."
                )
                fail(
                    self.tally, "proclaim", "proclaimed by a former leader", text, other.operation, operation
                )


def _sight(operation: Operation) -> _Sight | None:
    answer = operation.response
    if not isinstance(answer, Seen) or answer.revision is None or answer.kv.create_revision is None:
        return None
    low = answer.revision if isinstance(operation.call, Leader) else answer.kv.mod_revision
    return _Sight(operation, answer.kv.create_revision, low or 0, answer.revision)


def _place(operation: Operation) -> tuple[int, int]:
    kv = operation.response.kv if isinstance(operation.response, Seen) else None
    return (0, 0) if kv is None else (kv.create_revision or 0, kv.mod_revision or 0)


def _revision(operation: Operation) -> int:
    answer = operation.response
    return answer.revision or 0 if isinstance(answer, Done) else 0


def check_elections(run: Run) -> CheckResult:
    """The run's elections. The servers write the keys, so the history does not tell of all revisions."""
    found = recipes(run.history)
    others = etcd_operations(run.history) if found else ()
    return judge_elections(found, World(others, None, run.faults, run.leader_changes))
