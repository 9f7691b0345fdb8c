"""Who waits for which entry of the log, and until when.

Rules (etcd 3.7.1):

- Every proposal has an id of its own; who applies the entry with that id finds the answer here.
- A request is given up after the request time-out, and its answer then says why. It may still commit.
- A configuration change has no time-out of the server's own: it waits until it is applied, or until its
  caller gives up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gauntlet.api.errors import RpcError
from gauntlet.reference.apply import Applied

Answer = Callable[[Applied], None]


@dataclass(slots=True)
class _Waiting:
    answer: Answer
    started: float


class Proposals:
    """Times are seconds on the caller's clock."""

    def __init__(self, timeout: float) -> None:
        self.failed = 0
        self._timeout = timeout
        self._waiting: dict[int, _Waiting] = {}
        self._deadlines: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._waiting

    def expect(self, request_id: int, answer: Answer, now: float) -> None:
        self._waiting[request_id] = _Waiting(answer, now)
        self._deadlines.append((now + self._timeout, request_id))

    def expect_patiently(self, request_id: int, answer: Answer, now: float) -> None:
        """Without a time-out."""
        self._waiting[request_id] = _Waiting(answer, now)

    def forget(self, request_id: int) -> None:
        """Nobody wants the answer any more."""
        self._waiting.pop(request_id, None)

    def settle(self, request_id: int, result: Applied) -> None:
        """The entry is applied; nothing happens where nobody here waits for it."""
        waiting = self._waiting.pop(request_id, None)
        if waiting is not None:
            waiting.answer(result)

    def expire(self, now: float, reason: Callable[[float], RpcError]) -> None:
        """Ends what has waited too long; `reason` says why, given when the waiting began."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            _, request_id = deadlines.popleft()
            waiting = self._waiting.pop(request_id, None)
            if waiting is not None:
                self.failed += 1
                waiting.answer(Applied(error=reason(waiting.started)))

    def fail(self, error: RpcError) -> None:
        waiting, self._waiting = self._waiting, {}
        for entry in waiting.values():
            entry.answer(Applied(error=error))
