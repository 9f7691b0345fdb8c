"""Two or three answers that cannot come from one etcd, whatever else happened: no order, no search.

A revision is a state of the store. So an answer says something certain about one key:

- *put*: the key was written at revision w (and with which value); *gone*: it was deleted at w;
- *seen*: at revision r the key had mod_revision m (its value, create_revision and version, where told);
- *absent*: at revision r there was no such key.

These contradict each other:

1. seen at r with m > r, or with a create_revision above m.
2. seen at r with m, but put or gone at w with m < w <= r.
3. seen with m = w: another value than the put's at w; or w was a write that did not put this key.
4. seen twice with one m, but another value, create_revision or version.
5. absent at r, but seen at r or later with a create_revision of at most r: it had been there all the time.
6. seen at m and later at m', with one create_revision: the version grew by less than the puts of the key that
   were answered with a revision above m and up to m', or by more than there are revisions between.

Ranges count only as far as they name their keys; what a txn with an effect read is left out, since it may
stand before or behind its writes. Source: the meaning of the fields in etcd's `KeyValue` and header.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Final, NamedTuple

from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.decide import Judgement
from gauntlet.checkers.etcd.model import shown_revision
from gauntlet.checkers.etcd.shrunk import Shrunk, shrink
from porcupine.history import Operation

_GONE: Final = object()
_UNTOLD: Final = object()


class Clash(NamedTuple):
    operations: list[Operation]
    text: str


class _Seen(NamedTuple):
    kv: c.KV
    at: int | None
    operation: Operation


class _Write(NamedTuple):
    revision: int
    what: object  # the value, _GONE or _UNTOLD
    operation: Operation


@dataclass(slots=True)
class _Facts:
    seen: dict[bytes, list[_Seen]] = field(default_factory=dict)
    absent: dict[bytes, list[tuple[int, Operation]]] = field(default_factory=dict)
    writes: dict[bytes, list[_Write]] = field(default_factory=dict)
    puts: dict[int, tuple[frozenset[bytes], Operation]] = field(default_factory=dict)
    """The keys that the write of a revision put, where its answer tells all of them."""


def small_proof(judgement: Judgement, named: Sequence[Operation]) -> Shrunk | None:
    """Of an invalid history: a few operations that fail by themselves, those that are named if they do."""
    return clash_in(named) or shrink(judgement, named) or clash_in(judgement.operations)


def clash_in(operations: Iterable[Operation]) -> Shrunk | None:
    found = clash(operations)
    return Shrunk(found.operations, 0, found.text) if found is not None else None


def clash(operations: Iterable[Operation]) -> Clash | None:
    """The first contradiction among all of them, None where there is none of these kinds. n log n."""
    facts = _Facts()
    for operation in operations:
        if operation.is_ok:
            _tell(facts, operation)
    for key, seen in facts.seen.items():
        writes = sorted(facts.writes.get(key, ()), key=itemgetter(0))
        found = _alone(seen) or _against_writes(seen, writes, facts) or _against_each_other(seen)
        found = found or _against_absence(seen, facts.absent.get(key, ())) or _miscounted(seen, writes)
        if found is not None:
            return found
    return None


def _tell(facts: _Facts, operation: Operation) -> None:
    call, answer = c.call_of(operation), c.answer_of(operation)
    revision = shown_revision(call, answer)
    if isinstance(call, c.Range) and isinstance(answer, c.RangeAnswer):
        _read(facts, operation, call, answer, call.revision or revision)
    elif isinstance(call, c.Txn) and isinstance(answer, c.TxnAnswer) and answer.succeeded is not None:
        _txn(facts, operation, call, answer, revision)
    elif revision is not None and c.effective(answer) and isinstance(call, c.Put | c.Delete):
        facts.puts[revision] = _written(facts, operation, revision, [call]), operation


def _read(facts: _Facts, operation: Operation, call: c.Range, answer: c.RangeAnswer, at: int | None) -> None:
    for kv in answer.kvs or ():
        told = kv._replace(value=None) if call.keys_only else kv
        facts.seen.setdefault(kv.key, []).append(_Seen(told, at, operation))
    plain = call == c.Range(call.key, revision=call.revision, serializable=call.serializable)
    if plain and answer.kvs == () and at is not None:
        facts.absent.setdefault(call.key, []).append((at, operation))


def _txn(facts: _Facts, operation: Operation, call: c.Txn, answer: c.TxnAnswer, revision: int | None) -> None:
    took = c.effective(answer)
    before = None if revision is None else revision - took
    for compare in call.compare if answer.succeeded else ():
        if compare.target == "mod" and compare.result == "=" and not compare.end:
            mod = int(compare.value)
            if mod > 0:
                kv = c.KV(compare.key, None, None, mod, None, None)
                facts.seen.setdefault(compare.key, []).append(_Seen(kv, before, operation))
            elif before is not None:
                facts.absent.setdefault(compare.key, []).append((before, operation))
    branch = call.success if answer.succeeded else call.failure
    if took and revision is not None:
        put = _written(facts, operation, revision, branch)
        if not any(isinstance(each, c.Txn) for each in branch):
            facts.puts[revision] = put, operation
    elif not took:
        for each, got in zip(branch, answer.answers or (), strict=False):
            if isinstance(each, c.Range) and isinstance(got, c.RangeAnswer):
                _read(facts, operation, each, got, each.revision or revision)


def _written(
    facts: _Facts, operation: Operation, revision: int, requests: Iterable[c.Request]
) -> frozenset[bytes]:
    """Adds what these requests wrote; gives the keys that they put."""
    put = set()
    for each in requests:
        if isinstance(each, c.Put):
            put.add(each.key)
            what: object = _UNTOLD if each.ignore_value else each.value
            facts.writes.setdefault(each.key, []).append(_Write(revision, what, operation))
        elif isinstance(each, c.Delete) and not each.end:
            # Within a txn it may have found nothing. It leaves nothing either way.
            facts.writes.setdefault(each.key, []).append(_Write(revision, _GONE, operation))
    return frozenset(put)


def _alone(seen: Sequence[_Seen]) -> Clash | None:
    """Rule 1."""
    for kv, at, operation in seen:
        if kv.mod_revision is None:
            continue
        if at is not None and kv.mod_revision > at:
            return Clash([operation], f"mod_revision {kv.mod_revision} is seen at revision {at}")
        if kv.create_revision is not None and kv.create_revision > kv.mod_revision:
            return Clash([operation], "a create_revision is greater than its mod_revision")
    return None


def _against_writes(seen: Sequence[_Seen], writes: Sequence[_Write], facts: _Facts) -> Clash | None:
    """Rules 2 and 3."""
    revisions = [write.revision for write in writes]
    for kv, at, operation in seen:
        mod = kv.mod_revision
        if mod is None:
            continue
        place = bisect_right(revisions, mod)
        if at is not None and place < len(writes) and writes[place].revision <= at:
            write = writes[place]
            text = f"the key was written at revision {write.revision}, and not seen so at {at}"
            return Clash([write.operation, operation], text)
        if place and revisions[place - 1] == mod:
            what, writer = writes[place - 1].what, writes[place - 1].operation
            told = what is not _UNTOLD and kv.value is not None
            if what is _GONE or (told and what != kv.value):
                return Clash([writer, operation], f"what was written at revision {mod} is not what is seen")
        owner = facts.puts.get(mod)
        if owner is not None and kv.key not in owner[0]:
            text = f"the write of revision {mod} did not put the key that is seen with it"
            return Clash([owner[1], operation], text)
    return None


def _against_each_other(seen: Sequence[_Seen]) -> Clash | None:
    """Rule 4."""
    by_mod: dict[int, list[_Seen]] = {}
    for each in seen:
        if each.kv.mod_revision is None:
            continue
        known = by_mod.setdefault(each.kv.mod_revision, [])
        for other in known:
            for name in ("value", "create_revision", "version"):
                one, two = getattr(other.kv, name), getattr(each.kv, name)
                if one is not None and two is not None and one != two:
                    text = f"one version of the key has two {name}s" if name != "value" else "two values"
                    return Clash(
                        [other.operation, each.operation], f"{text} (revision {each.kv.mod_revision})"
                    )
        if len(known) < 4 and not any(other.kv == each.kv for other in known):
            known.append(each)
    return None


def _miscounted(seen: Sequence[_Seen], writes: Sequence[_Write]) -> Clash | None:
    """Rule 6."""
    told: dict[int, _Seen] = {}
    for each in seen:
        if each.kv.mod_revision and each.kv.version and each.kv.create_revision:
            told[each.kv.mod_revision] = each
    revisions = [write.revision for write in writes]
    for first, last in pairwise(sorted(told)):
        earlier, later = told[first], told[last]
        if earlier.kv.create_revision != later.kv.create_revision:
            continue
        grew = (later.kv.version or 0) - (earlier.kv.version or 0)
        between = writes[bisect_right(revisions, first) : bisect_right(revisions, last)]
        puts = [write.operation for write in between if write.what is not _GONE]
        if grew < len(puts) or not 0 < grew <= last - first:
            text = f"the version grew by {grew} from revision {first} to {last}"
            if grew < len(puts):
                text += f", where {len(puts)} puts were answered"
            return Clash([earlier.operation, *puts, later.operation], text)
    return None


def _against_absence(seen: Sequence[_Seen], absent: Sequence[tuple[int, Operation]]) -> Clash | None:
    """Rule 5."""
    if not absent:
        return None
    ordered = sorted(absent, key=itemgetter(0))
    revisions = [at for at, _ in ordered]
    for kv, at, operation in seen:
        if kv.create_revision is None or at is None:
            continue
        place = bisect_right(revisions, at) - 1
        if place >= 0 and revisions[place] >= kv.create_revision:
            begun = kv.create_revision
            text = f"the key is absent at revision {revisions[place]}, and there from {begun} to {at}"
            return Clash([ordered[place][1], operation], text)
    return None
