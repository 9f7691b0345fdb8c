"""What one watcher's own record shows, with no history and no other watcher.

Source: etcd's API guarantees for watches, and its watch server (release 3.7). For every watcher:

1. filter: each event is of a key that was asked for and of a kind that was not filtered out.
2. ordered: events come in the order of their revisions.
3. unique: no event of a key and revision comes twice.
4. atomic: all events of a revision are in one list; the fragments of an answer are one list, and nothing
   else comes between them.
5. bookmarkable: after a progress notification at revision P only events above P come, and P never falls.
6. resumable: a watch from revision S gets nothing older than S.
7. is_create: create_revision = mod_revision just for the event that makes the key, whose version is 1.
8. prev_kv: only if asked for; older than the event; of the version before; none for a key that is made.
9. compacted: a watcher is cut off as compacted only when what it still needs lies below the compaction.
10. ended: nothing comes after the end.
11. reliable: versions of a key are counted by one, so a version that is left out is a lost event; only for
    watchers without filter.

Rule 11 and the rest of 7 and 8 follow each key from event to event; where a history says what every revision
did, `compare` judges by that instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gauntlet.checkers.guarantees import Finding, Tally, seconds
from gauntlet.checkers.watch.ledger import Compaction
from gauntlet.checkers.watch.records import Delivery, Event, KeyValue, Watcher, event_json

GUARANTEES = (
    "filter",
    "ordered",
    "unique",
    "atomic",
    "bookmarkable",
    "resumable",
    "reliable",
    "is_create",
    "prev_kv",
    "compacted",
    "ended",
    "content",
    "agreement",
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`compactions`: all that may have happened, by call time; None when nobody knows."""

    compactions: Sequence[Compaction] | None = None
    history: bool = False  # does a whole history do rule 11


def report(
    tally: Tally,
    guarantee: str,
    label: str,
    text: str,
    watcher: Watcher,
    *evidence: tuple[Delivery, Event | None],
    revision: int | None = None,
    due: tuple[str, str] | None = None,
) -> None:
    """A finding about a watcher; evidence: what it was told, and the event in it that matters. revision: that
    of the change in question. due: (what was expected, what was got)."""
    records = [
        {
            "client": watcher.client,
            "watcher": watcher.id,
            "member": watcher.member,
            "line": delivery.line,
            "kind": delivery.kind,
            "at_ns": delivery.at_ns,
            "revision": delivery.revision,
            **({} if event is None else {"event": event_json(event)}),
        }
        for delivery, event in evidence
    ]
    at_ns = max((delivery.at_ns for delivery, _ in evidence), default=watcher.call_ns)
    tally.fail(Finding(guarantee, label, text, records, (), at_ns, watcher.name, revision, due))


def told(delivery: Delivery) -> str:
    return f"at {seconds(delivery.at_ns)} (line {delivery.line})"


class Alone:
    """Follows one watcher."""

    def __init__(self, watcher: Watcher, tally: Tally, circumstances: Circumstances) -> None:
        self.watcher = watcher
        self.tally = tally
        self.circumstances = circumstances
        self.last = 0  # the greatest revision of an event so far
        self.last_in: Delivery | None = None
        self.mark: Delivery | None = None  # the last progress notification
        self.seen: dict[tuple[int, str], Delivery] | None = None  # kept once it is needed
        self._state: dict[str, tuple[Event, Delivery]] = {}
        self._covered: dict[str, bool] = {}

    def judge(self) -> None:
        ended: Delivery | None = None
        unfinished: Delivery | None = None
        events = 0
        for delivery in self.watcher.deliveries:
            if ended is not None and delivery.kind in ("events", "progress", "created"):
                text = f"{self.watcher} was {ended.kind} {told(ended)} and got more {told(delivery)}."
                self._fail("ended", "told after its end", text, (ended, None), (delivery, None))
            if unfinished is not None and delivery.kind in ("progress", "created", "canceled"):
                text = (
                    f"{self.watcher} got a {delivery.kind} {told(delivery)} while the answer of which it had "
                    f"got fragments {told(unfinished)} was not complete."
                )
                self._fail("atomic", "torn answer", text, (unfinished, None), (delivery, None))
            unfinished = None
            match delivery.kind:
                case "events":
                    self._events(delivery)
                    events += len(delivery.events)
                    unfinished = None if delivery.whole else delivery
                case "progress":
                    self._progress(delivery)
                case "canceled":
                    self._canceled(delivery)
                    ended = delivery
                case "error" | "closed":
                    ended = delivery
        for name in ("filter", "ordered", "unique", "atomic"):
            self.tally.saw(name, events)
        self.tally.saw("ended", 1 if ended is not None else 0)

    # ---- events ----

    def _events(self, delivery: Delivery) -> None:
        request = self.watcher.request
        covered, wanted = self._covered, request.filtered
        chain = not wanted and not self.circumstances.history
        asks = request.prev_kv
        start = request.start_revision
        marked = self.mark.revision if self.mark is not None else 0
        floor = max(self.last, marked, start - 1)
        here = 0  # the revision whose keys in this delivery are in `keys`
        keys: set[str] = set()
        for place, (event, prev) in enumerate(zip(delivery.events, delivery.prev, strict=True)):
            revision, key = event[0], event[1]
            fits = covered.get(key)
            if fits is None:
                fits = covered[key] = request.covers(key)
            if not fits or (wanted and not request.wants(event)):
                self._misfit(delivery, event)
            if revision > floor:
                floor = here = revision
                keys = {key}
            elif revision == here and key not in keys:
                keys.add(key)
            else:
                self._out_of_place(delivery, place, marked, here)
                here = max(here, revision) if here else 0
            _, _, value, is_create, made, version, _ = event
            plain = version is not None and made is not None and made <= revision
            if not plain or prev is not None or asks or (value is not None and (version == 1) != is_create):
                self._flags(delivery, event, prev)
            if chain:
                self._follow(delivery, event, prev)
            if self.seen is not None:
                self.seen.setdefault((revision, key), delivery)
        self.tally.saw("is_create", len(delivery.events))
        if chain:
            self.tally.saw("reliable", len(delivery.events))
        if delivery.events:
            self.last, self.last_in = max(self.last, floor, here), delivery

    def _misfit(self, delivery: Delivery, event: Event) -> None:
        text = f"{self.watcher} was sent {event} {told(delivery)}, which it did not ask for."
        self._fail("filter", "unwanted event", text, (delivery, event))

    def _out_of_place(self, delivery: Delivery, place: int, marked: int, here: int) -> None:
        """The event is not above all that came before: say which rule that breaks."""
        event = delivery.events[place]
        revision = event.mod_revision
        first = self._seen_before(delivery, place)
        if first is not None:
            text = f"{self.watcher} was sent {event} {told(first)} and again {told(delivery)}."
            self._fail("unique", "event sent twice", text, (first, event), (delivery, event))
        elif revision <= marked and self.mark is not None:
            text = (
                f"{self.watcher} was told {told(self.mark)} that it had all events up to revision "
                f"{self.mark.revision}, and was then sent {event} {told(delivery)}."
            )
            self._fail(
                "bookmarkable", "progress overtook an event", text, (self.mark, None), (delivery, event)
            )
        elif revision < self.watcher.request.start_revision:
            text = (
                f"{self.watcher} was sent {event} {told(delivery)}, older than the revision it starts from."
            )
            self._fail("resumable", "event before the start", text, (delivery, event))
        elif revision == self.last and revision != here and self.last_in is not None:
            text = (
                f"{self.watcher} was sent a part of revision {revision} {told(self.last_in)} and another "
                f"part, {event}, {told(delivery)}."
            )
            self._fail("atomic", "revision split", text, (self.last_in, None), (delivery, event))
        else:
            before = self.last_in if revision <= self.last and self.last_in is not None else delivery
            text = f"{self.watcher} was sent {event} {told(delivery)} after events of later revisions."
            self._fail("ordered", "events out of order", text, (before, None), (delivery, event))

    def _seen_before(self, delivery: Delivery, place: int) -> Delivery | None:
        if self.seen is None:
            self.seen = {}
            for earlier in self.watcher.deliveries:
                if earlier is delivery:
                    break
                for each in earlier.events:
                    self.seen.setdefault((each.mod_revision, each.key), earlier)
            for each in delivery.events[:place]:
                self.seen.setdefault((each.mod_revision, each.key), delivery)
        return self.seen.get(delivery.events[place][:2])

    # ---- flags and the value before ----

    def _flags(self, delivery: Delivery, event: Event, prev: KeyValue | None) -> None:
        revision, _, value, is_create, created, version, _ = event
        if value is not None and is_create is not None:
            first = None if version is None else version == 1
            if (first is not None and first != is_create) or (created is not None and created > revision):
                text = (
                    f"{self.watcher} was sent {event} {told(delivery)} with create_revision {created} and "
                    f"version {version}: the one says that the key was new, the other that it was not."
                )
                self._fail("is_create", "wrong create flag", text, (delivery, event))
        if prev is not None:
            why = self._bad_prev(event, prev)
            self.tally.saw("prev_kv")
            if why is not None:
                text = (
                    f"{self.watcher} was sent {event} {told(delivery)} with the previous value {prev}: {why}."
                )
                self._fail("prev_kv", "wrong previous value", text, (delivery, event))
        elif self.watcher.request.prev_kv and not is_create and (value is None or is_create is not None):
            self._no_prev(delivery, event)

    def _bad_prev(self, event: Event, prev: KeyValue) -> str | None:
        if not self.watcher.request.prev_kv:
            return "it was not asked for"
        if event.is_create:
            return "a key that is made has none"
        if prev.mod_revision >= event.mod_revision:
            return "it is not older"
        if event.value is None:
            return None
        if None not in (prev.version, event.version) and (prev.version or 0) + 1 != event.version:
            return f"it is version {prev.version}, and the event makes version {event.version}"
        made, key_made = prev.create_revision, event.create_revision
        if made is not None and key_made is not None and made != key_made:
            return f"it was made at revision {made}, the key at {key_made}"
        return None

    def _no_prev(self, delivery: Delivery, event: Event) -> None:
        """Only a compaction up to the event excuses a missing previous value."""
        compactions = self.circumstances.compactions
        if compactions is None:
            self.tally.doubt("prev_kv", "values are missing, and nobody knows what was compacted")
            return
        self.tally.saw("prev_kv")
        if not any(c.revision >= event.mod_revision and c.call_ns <= delivery.at_ns for c in compactions):
            text = f"{self.watcher} asked for previous values and was sent {event} {told(delivery)} without."
            self._fail("prev_kv", "missing previous value", text, (delivery, event))

    # ---- one key, from event to event ----

    def _follow(self, delivery: Delivery, event: Event, prev: KeyValue | None) -> None:
        known = self._state.get(event.key)
        self._state[event.key] = (event, delivery)
        if known is None or event.mod_revision <= known[0].mod_revision:
            return
        before, earlier = known
        if (
            prev is None
            and before[3:5] == (False, event[4]) == event[3:5]
            and event[5] == (before[5] or 0) + 1
        ):
            return  # the plain case, and by far the most frequent
        gap = _gap(before, event, prev)
        if gap is not None:
            text = (
                f"{self.watcher} was sent {before} {told(earlier)} and then {event} {told(delivery)}, "
                f"but {gap}: it lost an event between them."
            )
            self._fail("reliable", "lost watch event", text, (earlier, before), (delivery, event))
            return
        if event.is_create and before.value is not None:
            text = f"{self.watcher} was sent {event} {told(delivery)} as new, but {before} was never deleted."
            self._fail("is_create", "wrong create flag", text, (earlier, before), (delivery, event))
        if event.value is not None and event.is_create is False and before.value is None:
            text = (
                f"{self.watcher} was sent {event} {told(delivery)} as not new, but it followed on {before}."
            )
            self._fail("is_create", "wrong create flag", text, (earlier, before), (delivery, event))
        if prev is not None and not _matches(prev, before):
            text = (
                f"{self.watcher} was sent {event} {told(delivery)} with the previous value {prev}, "
                f"but it had been sent {before} {told(earlier)}."
            )
            self._fail("prev_kv", "wrong previous value", text, (earlier, before), (delivery, event))

    # ---- the rest ----

    def _progress(self, delivery: Delivery) -> None:
        self.tally.saw("bookmarkable")
        if self.mark is not None and delivery.revision < self.mark.revision:
            text = (
                f"{self.watcher} was told {told(self.mark)} of progress up to revision {self.mark.revision}, "
                f"and {told(delivery)} only up to {delivery.revision}."
            )
            self._fail("bookmarkable", "progress went back", text, (self.mark, None), (delivery, None))
        elif delivery.revision < self.last and self.last_in is not None:
            text = (
                f"{self.watcher} had been sent an event of revision {self.last} {told(self.last_in)} and was "
                f"told {told(delivery)} of progress up to {delivery.revision} only."
            )
            self._fail("bookmarkable", "progress went back", text, (self.last_in, None), (delivery, None))
        if self.mark is None or delivery.revision > self.mark.revision:
            self.mark = delivery

    def _canceled(self, delivery: Delivery) -> None:
        compacted = delivery.compact_revision
        if not compacted:
            return
        self.tally.saw("compacted")
        needs = max(self.last + 1 if self.last else 0, self.watcher.request.start_revision)
        if needs >= compacted:
            text = (
                f"{self.watcher} was cut off {told(delivery)} as compacted at revision {compacted}, but "
                f"it needed nothing below revision {needs}."
            )
            self._fail("compacted", "needless compaction notice", text, (delivery, None))
            return
        known = self.circumstances.compactions
        if known is None or any(c.revision >= compacted and c.call_ns <= delivery.at_ns for c in known):
            return
        text = (
            f"{self.watcher} was cut off {told(delivery)} as compacted at revision {compacted}, but "
            "nobody had asked for a compaction so far."
        )
        self._fail("compacted", "compaction that nobody made", text, (delivery, None))

    def _fail(self, guarantee: str, label: str, text: str, *evidence: tuple[Delivery, Event | None]) -> None:
        report(self.tally, guarantee, label, text, self.watcher, *evidence)


def _gap(before: Event, event: Event, prev: KeyValue | None) -> str | None:
    """Why there must have been another event of the key between the two; None when there need not."""
    old, new = before.version, event.version
    if event.value is None:
        if before.value is None:
            return "a key cannot be deleted twice"
    elif old is not None and new is not None:
        if before.value is None and new > 1:
            return None if (event.create_revision or 0) <= before.mod_revision else f"its version is {new}"
        if before.value is not None and event.create_revision == before.create_revision and new > old + 1:
            return f"the version went from {old} to {new}"
        if before.value is not None and new == 1 and event.is_create:
            return "the key was made anew without having been deleted"
        if before.value is not None and (event.create_revision or 0) > before.mod_revision and new > 1:
            return "the key was made anew in the meantime"
        return None
    if prev is not None and before.mod_revision < prev.mod_revision < event.mod_revision:
        return f"the value before was of revision {prev.mod_revision}"
    return None


def _matches(prev: KeyValue, before: Event) -> bool:
    if before.value is None:
        return False
    return agrees(prev, before)


def agrees(prev: KeyValue, before: Event) -> bool:
    """Is it what the event left, in everything that both know?"""
    if prev[:2] == (before.value, before.mod_revision) and prev[2:] == before[4:]:
        return True
    pairs = (
        (prev.value, before.value),
        (prev.mod_revision, before.mod_revision),
        (prev.create_revision, before.create_revision),
        (prev.version, before.version),
        (prev.lease, before.lease),
    )
    return all(a is None or b is None or a == b for a, b in pairs)
