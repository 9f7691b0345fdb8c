"""One watcher against what each revision did.

Between the first revision that a watcher owes and the last one that it has reached, it must have been sent
exactly the events of its filter, as they were. The span:

- from the start revision that was asked for; without one, from what the server had when it said "created"
  (or from the first event, when that came from before);
- to the last event or progress notification, whichever is later. The revision of an answer's header promises
  nothing: an answer may carry only the first part of what there is. Nor does a revision whose last fragment
  never came.

An event that is missing in the span is named by what it breaks: `atomic` when the rest of its revision came;
`bookmarkable` when a progress notification went past it; `compacted` when a compaction lies between it and
what came next, since then a notice was due; `resumable` when nothing came before it on a watch with a start
revision; else `reliable`. A wrong event breaks `is_create`, `prev_kv` or, for anything else, `content`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter

from gauntlet.checkers.guarantees import Tally, seconds
from gauntlet.checkers.watch.alone import Circumstances, agrees, report, told
from gauntlet.checkers.watch.ledger import Clash, Ledger, same
from gauntlet.checkers.watch.records import Delivery, Event, KeyValue, Watcher

_Place = tuple[int, str]
_place = itemgetter(0, 1)


def span(watcher: Watcher) -> tuple[int, int] | None:
    """The first and last revision of which the watcher owes every event; None when it owes nothing yet."""
    first_event = created = last = marked = 0
    for delivery in watcher.deliveries:
        if delivery.kind == "events" and delivery.events:
            if not first_event:
                first_event = delivery.events[0][0]
            last = max(last, max(delivery.events)[0] - (not delivery.whole))
        elif delivery.kind == "progress":
            marked = max(marked, delivery.revision)
            if not first_event and not created:
                created = delivery.revision
        elif delivery.kind == "created" and not created:
            created = delivery.revision
    start = watcher.request.start_revision
    if not start:
        start = created + 1 if created else first_event
        if first_event:
            start = min(start, first_event)
    end = max(last, marked)
    return (start, end) if 0 < start <= end else None


def compare(watchers: Sequence[Watcher], ledger: Ledger, tally: Tally, circumstances: Circumstances) -> None:
    """All watchers. Without a history the watchers' own events are the yardstick, and what none of them saw
    is not proven."""
    for clash in ledger.clashes:
        _clash(clash, tally)
    if len(watchers) > 1:
        tally.saw("agreement", sum(1 for _ in ledger.seen_by))
    for watcher in watchers:
        _Comparison(watcher, ledger, tally, circumstances).judge()


def _clash(clash: Clash, tally: Tally) -> None:
    (one, event), (other, different) = clash.one, clash.other
    text = (
        f"{one} was sent {event} {_details(event)}, and {other} was sent {different} {_details(different)}."
    )
    evidence = [(_delivery_of(watcher, each), each) for watcher, each in (clash.one, clash.other)]
    report(tally, "agreement", "watchers disagree", text, other, *evidence)


def _details(event: Event) -> str:
    return f"(created at {event.create_revision}, version {event.version}, lease {event.lease})"


def _delivery_of(watcher: Watcher, event: Event) -> Delivery:
    return next(each for each in watcher.deliveries if any(event is other for other in each.events))


class _Comparison:
    def __init__(self, watcher: Watcher, ledger: Ledger, tally: Tally, circumstances: Circumstances) -> None:
        self.watcher = watcher
        self.ledger = ledger
        self.tally = tally
        self.circumstances = circumstances

    def judge(self) -> None:
        expected: list[Event] = []
        reach = span(self.watcher)
        if reach is not None:
            revisions, events = self.ledger.select(self.watcher.request)
            expected = events[bisect_left(revisions, reach[0]) : bisect_right(revisions, reach[1])]
        got = [event for delivery in self.watcher.deliveries for event in delivery.events]
        # Without a history the order within a revision is whoever was told first.
        if got != expected and sorted(got, key=_place) != sorted(expected, key=_place):
            self._differences(got, expected)
        guarantee = "resumable" if self.watcher.request.start_revision else "reliable"
        self.tally.saw("content", len(got))
        self.tally.saw("reliable", len(expected))
        self.tally.saw(guarantee, 1 if reach is not None else 0)
        self._proof(reach)
        self._previous_values()

    def _proof(self, reach: tuple[int, int] | None) -> None:
        ledger = self.ledger
        if reach is None:
            return
        if not self.circumstances.history:
            why = "without a history nobody knows of events that no watcher saw"
            for guarantee in ("reliable", "resumable", "content"):
                self.tally.doubt(guarantee, why)
        elif not ledger.complete or reach[1] > ledger.last or reach[0] < ledger.first:
            low = max(reach[0], ledger.first) if ledger.complete else reach[0]
            if not ledger.complete or reach[1] > ledger.last or self._anything_before(reach[0], low):
                where = f"{ledger.first} to {ledger.last}" if ledger.complete else "parts only"
                self.tally.doubt("reliable", f"the history accounts for the revisions {where}")

    def _anything_before(self, start: int, low: int) -> bool:
        """Below revision 2 there is nothing to know."""
        return start < low and low > 2

    # ---- differences ----

    def _differences(self, got: Sequence[Event], expected: Sequence[Event]) -> None:
        wanted: dict[_Place, Event] = {(event[0], event[1]): event for event in expected}
        here: set[_Place] = set()
        for event in got:
            place = (event[0], event[1])
            here.add(place)
            right = wanted.get(place)
            if right is None:
                right = self.ledger.at(event.key, event.mod_revision)
            if right is event or (right is not None and same(right, event)):
                continue
            if event.mod_revision in self.ledger.sure or self.ledger.accounts_for(event.mod_revision):
                self._wrong(event, right)
        missing = [event for place, event in wanted.items() if place not in here]
        for event in missing:
            self._missing(event, here)

    def _wrong(self, event: Event, right: Event | None) -> None:
        delivery = _delivery_of(self.watcher, event)
        sent = f"{self.watcher} was sent {event} {_details(event)} {told(delivery)}"
        if right is None:
            text = f"{sent}, but that revision changed no such key."
            report(
                self.tally,
                "content",
                "event that never was",
                text,
                self.watcher,
                (delivery, event),
                revision=event[0],
            )
            return
        flags = same(event._replace(is_create=None, create_revision=None, version=None), right)
        guarantee = "is_create" if flags and event.is_create != right.is_create else "content"
        label = "wrong create flag" if guarantee == "is_create" else "wrong event"
        text = f"{sent}; the history says {right} {_details(right)}."
        due = f"{right} {_details(right)}", f"{event} {_details(event)}"
        self._report(guarantee, label, text, (delivery, event), due)

    def _report(
        self,
        guarantee: str,
        label: str,
        text: str,
        evidence: tuple[Delivery, Event],
        due: tuple[str, str] | None = None,
    ) -> None:
        revision = evidence[1].mod_revision
        report(self.tally, guarantee, label, text, self.watcher, evidence, revision=revision, due=due)

    def _missing(self, event: Event, here: set[_Place]) -> None:
        revision = event.mod_revision
        before, passing = self._around(revision)
        witness = self.ledger.seen_by.get((revision, event.key))
        source = f"{witness} was sent it" if witness is not None else "the history says that it happened"
        lost = f"{self.watcher} was never sent {event}, though {source}"
        evidence = [(each, None) for each in (before, passing) if each is not None]
        due = str(event), "nothing of that revision for this key"
        label = "lost watch event"
        if any(place[0] == revision for place in here):
            rest = next(
                each for each in self.watcher.deliveries if any(e[0] == revision for e in each.events)
            )
            guarantee, label, evidence = "atomic", "revision split", [(rest, None)]
            how = f"; it was sent other changes of that revision {told(rest)}"
        elif passing is not None and passing.kind == "progress":
            guarantee = "bookmarkable"
            how = f"; {told(passing)} it was told that it had everything up to revision {passing.revision}"
            label = "progress overtook an event"
        elif passing is not None and self._compacted(revision, passing):
            guarantee, label = "compacted", "silent skip over a compaction"
            how = f"; it went on {told(passing)} without a notice that the revision was compacted"
        else:
            first = before is None and bool(self.watcher.request.start_revision)
            guarantee = "resumable" if first else "reliable"
            how = "" if before is None else f"; it had been sent an earlier one {told(before)}"
            how += "" if passing is None else f" and went on with a later one {told(passing)}"
        report(
            self.tally, guarantee, label, f"{lost}{how}.", self.watcher, *evidence, revision=revision, due=due
        )

    def _around(self, revision: int) -> tuple[Delivery | None, Delivery | None]:
        """(the last delivery with an older event, the first that went past the revision)."""
        before = passing = None
        for delivery in self.watcher.deliveries:
            if delivery.kind == "progress" and delivery.revision >= revision and passing is None:
                passing = delivery
            for event in delivery.events:
                if event[0] < revision and passing is None:
                    before = delivery
                elif event[0] > revision and passing is None:
                    passing = delivery
        return before, passing

    def _compacted(self, revision: int, passing: Delivery) -> bool:
        later = [event[0] for event in passing.events if event[0] > revision]
        reached = min(later, default=passing.revision)
        return any(
            revision < compaction.revision <= reached and compaction.call_ns <= passing.at_ns
            for compaction in self.circumstances.compactions or ()
        )

    # ---- previous values ----

    def _previous_values(self) -> None:
        if not self.watcher.request.prev_kv:
            return
        ledger = self.ledger
        for delivery in self.watcher.deliveries:
            for event, prev in zip(delivery.events, delivery.prev, strict=True):
                if prev is None:
                    continue
                before = ledger.before(event.key, event.mod_revision)
                if before is not None and before.value is not None and agrees(prev, before):
                    continue
                shown = ledger.at(event.key, prev.mod_revision)
                if shown is not None and not agrees(prev, shown):
                    self._wrong_prev(delivery, event, prev, shown)
                elif (before is not None and before.mod_revision >= prev.mod_revision) or (
                    ledger.knows_before(event.key, event.mod_revision)
                ):
                    self._wrong_prev(delivery, event, prev, before)

    def _wrong_prev(self, delivery: Delivery, event: Event, prev: KeyValue, before: Event | None) -> None:
        was = "nothing at all" if before is None else str(before)
        text = (
            f"{self.watcher} was sent {event} at {seconds(delivery.at_ns)} (line {delivery.line}) with the "
            f"previous value {prev}; before it there was {was}."
        )
        report(
            self.tally,
            "prev_kv",
            "wrong previous value",
            text,
            self.watcher,
            (delivery, event),
            revision=event[0],
        )
