"""The watch check: every guarantee by its name, for each watcher, among watchers, against the history.

With a history (what each revision did) every guarantee can be proven. Without one it works on what the
watchers say alone, and then says what is not proven: that no event was lost which nobody saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gauntlet.checkers.etcd.calls import answer_of, call_of, effective
from gauntlet.checkers.etcd.model import shown_revision
from gauntlet.checkers.guarantees import Tally
from gauntlet.checkers.records import Run
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch.alone import GUARANTEES, Alone, Circumstances
from gauntlet.checkers.watch.compare import compare
from gauntlet.checkers.watch.history import told_by
from gauntlet.checkers.watch.ledger import Compaction, Effects, Ledger
from gauntlet.checkers.watch.records import Watcher
from porcupine.history import Operation
from porcupine.uncollected import uncollected

NAME = "watch"


def judge_watchers(
    watchers: Sequence[Watcher],
    effects: Effects | None = None,
    *,
    complete: bool = False,
    compactions: Sequence[Compaction] | None = None,
    faults: Sequence[Mapping[str, Any]] = (),
    not_proven: Mapping[str, str] | None = None,
) -> CheckResult:
    """effects: what each revision did, None without a history. complete: it tells of every revision between
    its first and last. compactions: all that clients asked for; None when nobody knows of them all."""
    tally = Tally(GUARANTEES)
    for guarantee, why in (not_proven or {}).items():
        tally.doubt(guarantee, why)
    circumstances = Circumstances(compactions, effects is not None and complete)
    events = 0
    with uncollected():
        ledger = Ledger(effects, watchers, complete)
        for watcher in watchers:
            Alone(watcher, tally, circumstances).judge()
            events += sum(len(delivery.events) for delivery in watcher.deliveries)
        compare(watchers, ledger, tally, circumstances)
    details = {
        "watchers": len(watchers),
        "events": events,
        "revisions": len({event[0] for event in ledger.events}),
        "history_revisions": len(ledger.sure),
        "complete": ledger.complete,
        "compactions": None if compactions is None else len(compactions),
    }
    subject = f"{events} events of {len(watchers)} watchers"
    nothing = None
    if not watchers:
        nothing = "no watch was recorded: there is nothing to check"
    elif not any(each.kind in ("events", "progress", "canceled") for w in watchers for each in w.deliveries):
        nothing = f"{len(watchers)} watchers were told nothing: there is nothing to check"
    return tally.result(NAME, subject, details, faults, nothing)


def check_watch(run: Run) -> CheckResult:
    """The run's watchers against its history, as far as that has a linearization."""
    if not run.watches:
        return judge_watchers(())
    told = told_by(run)
    result = judge_watchers(
        run.watches,
        told.effects,
        complete=told.effects is not None,
        compactions=told.compactions if told.operations else None,
        faults=run.faults,
        not_proven={} if told.effects is not None else {"reliable": told.why},
    )
    if result.explanation is not None:
        _name_write(result.explanation, told.operations)
    return result


def _name_write(explanation: dict[str, Any], operations: Sequence[Operation]) -> None:
    """Adds the answered write of the revision that the explanation is about."""
    revision = explanation["revision"]
    for operation in operations if revision is not None else ():
        answer = answer_of(operation)
        took = operation.is_ok and effective(answer)
        if took and shown_revision(call_of(operation), answer) == revision:
            explanation["operations"] = [*explanation["operations"], operation.id]
            return
