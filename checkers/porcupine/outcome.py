"""What a search is given and what it answers: budget, verdict, cost, the order or the dead end it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from porcupine.history import Operation

Clock = Callable[[], float]

STUCK_KEPT = 8  # dead ends
BYTES_PER_CONFIGURATION = 320  # also per state; against tracemalloc the sum was 0.7 to 1.3 of what was held


class Verdict(StrEnum):
    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Budget:
    """Where to give up and answer unknown. `seconds` needs a clock; None means no bound."""

    configurations: int | None = None
    seconds: float | None = None
    memory_bytes: int | None = 2 << 30


@dataclass(slots=True)
class Stats:
    """What the search cost. `configurations` were visited, `steps` are calls of the model's step."""

    configurations: int = 0
    steps: int = 0
    peak_configurations: int = 0
    width: int = 0
    operations: int = 0
    peak_bytes: int = 0
    """An estimate of what the search held at once, without the history itself."""
    kernel: str = "python"
    """Who searched: "python", or "native" with its version."""

    def add(self, other: Stats) -> None:
        if not self.operations:
            self.kernel = other.kernel
        elif other.kernel not in self.kernel:
            self.kernel += f" and {other.kernel}"
        self.configurations += other.configurations
        self.steps += other.steps
        self.peak_configurations = max(self.peak_configurations, other.peak_configurations)
        self.width = max(self.width, other.width)
        self.operations += other.operations
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)


@dataclass(slots=True)
class DeadEnd:
    """A configuration at the furthest frontier: the state, and the operations that could have come next."""

    state: Any
    pending: tuple[Operation, ...]


@dataclass(slots=True)
class Outcome:
    """What the search found. `order` is a whole order (valid) or the longest prefix that was reached."""

    verdict: Verdict
    order: list[Operation]
    stats: Stats
    dead_ends: list[DeadEnd] = field(default_factory=list)
    frontier: Operation | None = None
    """The operation that could not be placed before it returned."""
    reason: str = ""
    contradiction: tuple[Operation, ...] = ()
    crowded: tuple[Operation, ...] = ()
    """Of a search that gave up: the operations that were concurrent where most configurations lay."""
