"""Does an answer agree with what the model expects? None on either side agrees with anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from gauntlet.checkers.etcd.calls import (
    KV,
    Answer,
    DeleteAnswer,
    GrantAnswer,
    KeepAliveAnswer,
    LeasesAnswer,
    PutAnswer,
    RangeAnswer,
    Refused,
    TimeToLiveAnswer,
    TxnAnswer,
)
from gauntlet.checkers.etcd.store import Expected, SortedAnswer


class Difference(NamedTuple):
    """Where an answer differs first: a reason in words, and the two values."""

    reason: str
    expected: object
    got: object


def difference(expected: Expected, got: Answer) -> Difference | None:
    """The first difference, None where there is none."""
    if expected == got:
        return None
    if isinstance(got, Refused) or isinstance(expected, Refused):
        return _refusals(expected, got)
    if expected.revision is not None and got.revision is not None and expected.revision != got.revision:
        return Difference("the answer's revision is another one", expected.revision, got.revision)
    match expected, got:
        case (RangeAnswer() | SortedAnswer(), RangeAnswer()):
            return _ranges(expected, got)
        case (PutAnswer(), PutAnswer()):
            return _previous(expected.prev_kv, got.prev_kv)
        case (DeleteAnswer(), DeleteAnswer()):
            if got.deleted is not None and expected.deleted != got.deleted:
                return Difference("another number of keys was deleted", expected.deleted, got.deleted)
            return _pairs(expected.prev_kvs, got.prev_kvs)
        case (TxnAnswer(), TxnAnswer()):
            return _txns(expected, got)
        case (GrantAnswer(), GrantAnswer()):
            if got.ttl is not None and expected.ttl is not None and got.ttl < expected.ttl:
                return Difference("the granted TTL is shorter than asked for", expected.ttl, got.ttl)
            return None
        case (KeepAliveAnswer(), KeepAliveAnswer()):
            return _lives(expected.ttl > 0, got.ttl > 0)
        case (LeasesAnswer(), LeasesAnswer()):
            same = sorted(expected.ids) == sorted(got.ids)
            return None if same else Difference("other leases are there", expected.ids, got.ids)
        case (TimeToLiveAnswer(), TimeToLiveAnswer()):
            return _times(expected, got)
    same = type(expected) is type(got)
    return None if same else Difference("the answer is of another kind", expected, got)


def _refusals(expected: Expected, got: Answer) -> Difference | None:
    if isinstance(expected, Refused):
        shown = got.message if isinstance(got, Refused) else "an answer"
        return Difference("it should have been refused", expected.message, shown)
    shown = got.message if isinstance(got, Refused) else "an answer"
    return Difference("it was refused without a reason", "an answer", shown)


def _ranges(expected: RangeAnswer | SortedAnswer, got: RangeAnswer) -> Difference | None:
    if got.count is not None and expected.count is not None and got.count != expected.count:
        return Difference("another number of keys is in the range", expected.count, got.count)
    if got.more is not None and expected.more is not None and got.more != expected.more:
        return Difference("'more' is wrong", expected.more, got.more)
    if isinstance(expected, SortedAnswer) and got.kvs is not None:
        return _sorted(expected, got.kvs)
    return _pairs(expected.kvs, got.kvs)


def _sorted(expected: SortedAnswer, got: Sequence[KV]) -> Difference | None:
    pool = {kv.key: (kv, at) for kv, at in zip(expected.pool, expected.elements, strict=True)}
    seen = Counter(kv.key for kv in got)
    for kv in got:
        here, _ = pool.get(kv.key, (None, None))
        if here is None or seen[kv.key] > 1 or not agree(here, kv):
            return Difference("the range holds something else", here, kv)
    if [pool[kv.key][1] for kv in got] != list(expected.elements[: len(expected.kvs)]):
        return Difference("the order of the pairs, or their number, is another one", expected.kvs, tuple(got))
    return None


def agree(expected: KV, got: KV) -> bool:
    return expected == got or all(
        mine is None or its is None or mine == its for mine, its in zip(expected, got, strict=True)
    )


def _pairs(expected: Sequence[KV] | None, got: Sequence[KV] | None) -> Difference | None:
    if expected is None or got is None:
        return None
    for mine, its in zip(expected, got, strict=False):
        if mine != its and not agree(mine, its):
            return Difference("the key holds something else", mine, its)
    if len(expected) > len(got):
        return Difference("a key is missing", expected[len(got)], None)
    if len(got) > len(expected):
        return Difference("a key is there that should not be", None, got[len(expected)])
    return None


def _previous(expected: KV | None, got: KV | None) -> Difference | None:
    if expected is None and got is None:
        return None
    if expected is None or got is None or not agree(expected, got):
        return Difference("the previous pair is another one", expected, got)
    return None


def _txns(expected: TxnAnswer, got: TxnAnswer) -> Difference | None:
    if got.succeeded is not None and expected.succeeded != got.succeeded:
        branches = {True: "the compares hold", False: "the compares fail", None: "unknown"}
        return Difference("it took the wrong branch", branches[expected.succeeded], branches[got.succeeded])
    if got.answers is None or expected.answers is None:
        return None
    if len(got.answers) != len(expected.answers):
        return Difference("another number of answers", len(expected.answers), len(got.answers))
    for mine, its in zip(expected.answers, got.answers, strict=True):
        found = difference(mine, its)
        if found is not None:
            return found
    return None


def _lives(expected: bool, got: bool) -> Difference | None:
    words = {True: "it lives", False: "there is no such lease"}
    return None if expected == got else Difference("the lease", words[expected], words[got])


def _times(expected: TimeToLiveAnswer, got: TimeToLiveAnswer) -> Difference | None:
    found = _lives(expected.ttl >= 0, got.ttl >= 0)
    if found is not None or got.ttl < 0:
        return found
    if None not in (got.granted_ttl, expected.granted_ttl) and got.granted_ttl != expected.granted_ttl:
        return Difference("another TTL had been granted", expected.granted_ttl, got.granted_ttl)
    if got.keys is not None and expected.keys is not None and tuple(sorted(got.keys)) != expected.keys:
        return Difference("other keys hang on the lease", expected.keys, got.keys)
    return None
