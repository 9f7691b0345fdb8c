"""Hashes that a real etcd 3.7.1 gave for small histories; where one is at hand, it is asked again."""

from __future__ import annotations

from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.backend import MemoryBackend
from gauntlet.reference.mvcc.store import Store

# `a 1` puts, `-a` deletes, `#4` compacts at revision 4. Below each history: what HashKV then says of which
# revision (0 for the present), as (hash, compaction behind it).
HISTORIES: dict[str, dict[int, tuple[int, int]]] = {
    "a 1, b 2, #3, -a, -b": {
        0: (3647447639, 3),
        3: (1827592406, -1),
        4: (776148148, 3),
        5: (3647447639, 3),
    },
    # A compaction at 0 leaves a hash of nothing, and that is what a question for the present then gets.
    "a 1, #0": {0: (1084519789, -1), 1: (1084519789, 0), 2: (2587454935, 0)},
    "a 1": {0: (2587454935, -1), 1: (1084519789, -1), 2: (2587454935, -1)},
    "a 1, b 2, a 3, -b, c 4": {
        0: (2750537463, -1),
        1: (1084519789, -1),
        2: (2587454935, -1),
        3: (1827592406, -1),
        4: (2069675932, -1),
        5: (1125682900, -1),
        6: (2750537463, -1),
    },
    "a 1, b 2, -a, c 3, #4, b 5": {
        0: (2039231974, 4),
        4: (1562576432, -1),
        5: (4196123440, 4),
        6: (2039231974, 4),
    },
    "a 1, b 2, -a, c 3, #4, b 5, #6, c 6, -c": {
        0: (2088409532, 6),
        4: (1562576432, -1),
        6: (2039231974, 4),
        7: (860915649, 6),
        8: (2088409532, 6),
    },
    "a 1, -a, #3": {0: (1084519789, 3), 3: (3520211144, -1)},
    "a 1, -a, #3, b 1, -b": {0: (789700534, 3), 3: (3520211144, -1), 4: (3584256279, 3), 5: (789700534, 3)},
    "a 1, a 2, -a, #2, #4, b 1, -b, #6": {
        0: (1084519789, 6),
        2: (2587454935, -1),
        4: (573317793, 2),
        6: (3903214184, 4),
    },
}


def ours(steps: str) -> Store:
    store = Store(MemoryBackend())
    for step in steps.split(", "):
        if step.startswith("#"):
            job = store.compact(int(step[1:]))
            while not job.step():
                pass
            continue
        change = store.write()
        if step.startswith("-"):
            change.delete_range(step[1:].encode(), b"")
        else:
            key, value = step.split()
            change.put(key.encode(), value.encode())
        change.end()
    return store


@pytest.mark.parametrize("steps", HISTORIES)
def test_our_hashes(steps: str) -> None:
    store = ours(steps)
    for revision, expected in HISTORIES[steps].items():
        result = store.hash_kv(revision)
        assert (result.hash, result.compact_revision) == expected, revision


@pytest.mark.upstream
@pytest.mark.slow
@pytest.mark.parametrize("steps", HISTORIES)
def test_upstreams_hashes(upstream: Any, steps: str) -> None:
    for step in steps.split(", "):
        if step.startswith("#"):
            compaction = pb.CompactionRequest(revision=int(step[1:]), physical=True)
            upstream.call("/etcdserverpb.KV/Compact", compaction)
        elif step.startswith("-"):
            upstream.call("/etcdserverpb.KV/DeleteRange", pb.DeleteRangeRequest(key=step[1:].encode()))
        else:
            key, value = step.split()
            upstream.call("/etcdserverpb.KV/Put", pb.PutRequest(key=key.encode(), value=value.encode()))
    for revision, expected in HISTORIES[steps].items():
        answer = upstream.call("/etcdserverpb.Maintenance/HashKV", pb.HashKVRequest(revision=revision))
        assert (answer.hash, answer.compact_revision) == expected, revision
