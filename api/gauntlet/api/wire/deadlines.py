"""The deadlines of all calls that wait for their answers, behind one timer of the owner's. PURE."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol


class Expiring(Protocol):
    """A call, as far as its deadline goes."""

    answered: bool

    def deadline_passed(self) -> None: ...


class Deadlines:
    """Calls by deadline. `arm(when)` is called when the earliest changes; the owner then calls `expire`."""

    __slots__ = ("_arm", "_heap", "_next", "_serial", "_sweep")

    SWEEP = 4096

    def __init__(self, arm: Callable[[float], None]) -> None:
        self._arm = arm
        self._heap: list[tuple[float, int, Expiring]] = []
        self._serial = 0
        self._sweep = self.SWEEP
        self._next = float("inf")

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, deadline: float, call: Expiring) -> None:
        if len(self._heap) >= self._sweep:
            # Calls that were answered stay in the heap until their time, or until half of it may be theirs.
            self._heap = [item for item in self._heap if not item[2].answered]
            heapq.heapify(self._heap)
            self._sweep = max(self.SWEEP, 2 * len(self._heap))
        self._serial += 1
        heapq.heappush(self._heap, (deadline, self._serial, call))
        if deadline < self._next:
            self._next = deadline
            self._arm(deadline)

    def expire(self, now: float) -> None:
        """End the calls whose time has come, and arm for the next."""
        self._next = now  # so that calls made by what is told of the end do not arm too
        try:
            while self._heap and (self._heap[0][0] <= now or self._heap[0][2].answered):
                call = heapq.heappop(self._heap)[2]
                if not call.answered:
                    call.deadline_passed()
        finally:
            # Whatever a service makes of the end of its call, the other calls keep their deadlines.
            self._next = self._heap[0][0] if self._heap else float("inf")
            if self._heap:
                self._arm(self._next)
