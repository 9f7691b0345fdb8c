"""Counts what applying entries does, by standing in front of the state machine's handlers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter, time
from typing import Any

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.apply import Applied
from gauntlet.reference.mvcc.compaction import CompactionJob
from gauntlet.reference.server.metrics.tally import APPLY_BOUNDS, Histogram, Tally

Handler = Callable[[Any, float], Applied]


class Applies:
    """`slow_after` seconds make an apply a slow one; `on_slow` hears of it: operation, seconds."""

    def __init__(
        self,
        tally: Tally,
        slow_after: float,
        on_slow: Callable[[str, float], None] | None = None,
        when_compacted: Callable[[CompactionJob, Callable[[], None]], None] | None = None,
    ) -> None:
        self._when_compacted = when_compacted
        self._tally = tally
        self._slow_after = slow_after
        self._on_slow = on_slow
        self._counters: dict[str, Callable[[Any, Any], None]] = {
            "put": self._put,
            "delete_range": self._delete,
            "txn": self._txn,
            "lease_grant": self._grant,
            "lease_revoke": self._revoke,
        }

    def wrap(self, name: str, handler: Handler) -> Handler:
        """`handler`, counted; `name` is the field of InternalRaftRequest that it is for."""
        operation = "".join(part.capitalize() for part in name.split("_"))
        times, tally = self._tally.apply_times, self._tally
        count = self._counters.get(name)
        slow_after = self._slow_after

        def counted(request: Any, now: float) -> Applied:
            began = perf_counter()
            ok = False
            try:
                applied = handler(request, now)
                ok = applied.error is None
            finally:
                took = perf_counter() - began
                histogram = times.get((operation, ok))
                if histogram is None:
                    histogram = times[operation, ok] = Histogram(APPLY_BOUNDS)
                histogram.observe(took)
                if took > slow_after > 0:
                    tally.slow_applies += 1
                    if self._on_slow is not None:
                        self._on_slow(operation, took)
            if applied.job is not None:  # its first step is part of the apply
                tally.compaction_pauses.observe(took * 1000)
                tally.index_compaction_pauses.observe(took * 1000)
            if applied.job is not None and self._when_compacted is not None:
                self._when_compacted(applied.job, partial(self._compacted, applied.job, began))
            if count is not None and applied.response is not None:
                count(request, applied.response)
            return applied

        return counted

    def _compacted(self, job: CompactionJob, began: float) -> None:
        tally = self._tally
        tally.compacted_keys += job.deleted
        tally.compactions_at = time()
        tally.compaction_total.observe((perf_counter() - began) * 1000)

    def _put(self, request: pb.PutRequest, response: pb.PutResponse) -> None:
        self._tally.puts += 1
        self._tally.put_bytes += len(request.key) + len(request.value)

    def _delete(self, request: pb.DeleteRangeRequest, response: pb.DeleteRangeResponse) -> None:
        self._tally.deletes += 1

    def _txn(self, request: pb.TxnRequest, response: pb.TxnResponse) -> None:
        if self._operations(request, response) > 1:
            self._tally.txns += 1

    def _operations(self, request: pb.TxnRequest, response: pb.TxnResponse) -> int:
        """Counts the operations of the branch that was taken, nested ones too."""
        tally, done = self._tally, 0
        taken = request.success if response.succeeded else request.failure
        for asked, answered in zip(taken, response.responses, strict=False):
            kind = asked.WhichOneof("request")
            if kind == "request_txn":
                done += self._operations(asked.request_txn, answered.response_txn)
                continue
            done += 1
            if kind == "request_put":
                self._put(asked.request_put, answered.response_put)
            elif kind == "request_delete_range":
                tally.deletes += 1
            else:
                tally.ranges += 1
        return done

    def _grant(self, request: pb.LeaseGrantRequest, response: pb.LeaseGrantResponse) -> None:
        self._tally.leases_granted += 1
        self._tally.lease_ttls.observe(response.TTL)

    def _revoke(self, request: pb.LeaseRevokeRequest, response: pb.LeaseRevokeResponse) -> None:
        self._tally.leases_revoked += 1
