"""Linearizable reads: one question to the leader answers every read that was waiting when it was asked.

Rules (ReadIndex, section 6.4 of the raft thesis; etcd's read loop for the batching and the timing):

- One question is under way at a time. Reads that arrive meanwhile wait for the next one: the answer to an
  earlier question may be older than a write that finished before they were called.
- The answer is an index. The batch is released once the state machine has applied up to it.
- A question without an answer is asked again, under a new id, every RETRY_SECONDS, and as soon as a new
  leader has committed in its term; the answer to any of its ids counts. After the request time-out the batch
  fails.
- A new leader fails the batch under way: whether the old leader's answer still holds cannot be known.
"""

from __future__ import annotations

from collections.abc import Callable

from gauntlet.api import errors
from gauntlet.api.errors import RpcError

Release = Callable[[RpcError | None], None]

RETRY_SECONDS = 0.5


class ReadIndexes:
    """Batches reads and follows one question at a time. Time is in seconds, given by the caller."""

    def __init__(self, ask: Callable[[bytes], None], next_id: Callable[[], int], timeout: float) -> None:
        self._ask = ask
        self._next_id = next_id
        self._timeout = timeout
        self.slow = 0  # questions that timed out, and answers that came too late to count
        self.failed = 0
        self._waiting: list[Release] = []
        self._asked: list[Release] = []
        self._ids: set[bytes] = set()
        self._asked_at = 0.0
        self._retry_at = 0.0
        self._index: int | None = None

    def add(self, release: Release) -> None:
        self._waiting.append(release)

    @property
    def idle(self) -> bool:
        return not self._asked and not self._waiting

    def start(self, now: float) -> None:
        """Asks for the reads that wait, unless a question is under way."""
        if self._asked or not self._waiting:
            return
        self._asked, self._waiting = self._waiting, []
        self._ids.clear()
        self._index = None
        self._asked_at = now
        self._send(now)

    def answered(self, context: bytes, index: int) -> None:
        """The leader's answer; one to a question no longer open is ignored."""
        if context not in self._ids:
            self.slow += 1
        elif self._index is None:
            self._index = index

    def applied(self, index: int) -> None:
        """Releases the batch if the state machine has reached the answer."""
        if self._index is not None and index >= self._index:
            self._finish(None)

    def committed_in_term(self, now: float) -> None:
        """A leader that had not committed in its term may have kept silent: ask it again."""
        if self._asked and self._index is None:
            self._send(now)

    def leader_changed(self) -> None:
        if self._asked and self._index is None:
            self.failed += 1
            self._finish(errors.LEADER_CHANGED)

    def tick(self, now: float) -> None:
        if not self._asked or self._index is not None:
            return
        if now - self._asked_at >= self._timeout:
            self.slow += 1
            self._finish(errors.TIMEOUT)
        elif now >= self._retry_at:
            self._send(now)

    def fail(self, error: RpcError) -> None:
        """Ends every read, as a member that stops must."""
        self._finish(error)
        waiting, self._waiting = self._waiting, []
        for release in waiting:
            release(error)

    def _send(self, now: float) -> None:
        context = self._next_id().to_bytes(8, "big")
        self._ids.add(context)
        self._retry_at = now + RETRY_SECONDS
        self._ask(context)

    def _finish(self, error: RpcError | None) -> None:
        asked, self._asked = self._asked, []
        self._ids.clear()
        self._index = None
        for release in asked:
            release(error)
