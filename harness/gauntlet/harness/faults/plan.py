"""Which faults, when, on whom: drawn up before the run from the seed, and nothing else.

Rules:
1. The same kinds, members, seed and duration give the same plan. Whoever leads is the one thing decided
   later; the record of the run says who it was.
2. Faults come in bursts of one to three that overlap; between bursts, before the first and after the last
   there is quiet, so that the cluster shows that it recovers: at least as long as that takes after the
   faults of the burst.
3. Kinds are dealt like cards: none comes a second time before all came once, as far as they fit.
4. Members that process faults hold at one time stay a minority, unless one fault is made to take all.
5. A run of 30 s or longer has bursts of a few seconds; in a shorter one all times shrink with it, but for
   what a fault needs at least, and the cluster after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from gauntlet.harness.faults.base import LEADER
from gauntlet.harness.faults.catalogue import FAULTS, FaultKind

_BURSTS = (1, 2, 2, 2, 3, 3)
_TRIES = 12  # draws until a fault fits the burst
_SHORTEST = 0.3  # seconds


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """Times are seconds since the start of the schedule."""

    id: str
    name: str
    start: float
    end: float
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FaultPlan:
    seed: str
    duration: float
    faults: tuple[PlannedFault, ...]
    refused: tuple[str, ...]  # kinds that were asked for and cannot be done, with the reason

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "duration": self.duration,
            "faults": [asdict(fault) for fault in self.faults],
            "refused": list(self.refused),
        }


def make_plan(
    kinds: Iterable[FaultKind],
    members: Sequence[str],
    seed: str,
    duration: float,
    capabilities: Iterable[str] | None = None,
) -> FaultPlan:
    """duration in seconds. Kinds that the target cannot do are left out and named in `refused`."""
    wanted = list(kinds)
    allowed = list(capabilities) if capabilities is not None else [kind.needs for kind in wanted]
    refused = tuple(reason for kind in wanted if (reason := kind.refusal(allowed, members)) is not None)
    usable = [kind for kind in wanted if kind.refusal(allowed, members) is None]
    drawn = _Drawing(usable, members, Random(f"{seed}:faults"), duration).draw() if usable else []
    return FaultPlan(str(seed), duration, tuple(drawn), refused)


class _Drawing:
    def __init__(
        self, kinds: list[FaultKind], members: Sequence[str], random: Random, duration: float
    ) -> None:
        self._kinds = kinds
        self._members = list(members)
        self._random = random
        self._duration = duration
        self._scale = min(1.0, max(0.15, duration / 30))
        self._deck: list[FaultKind] = []
        self._plan: list[PlannedFault] = []

    def draw(self) -> list[PlannedFault]:
        lead = min(2.0, self._duration * 0.1)
        last = self._duration - min(5.0, self._duration * 0.15)
        now = lead
        while last - now > _SHORTEST:
            burst = self._burst(now, last)
            needed = max((FAULTS[fault.name].quiet_seconds for fault in burst), default=0.0)
            end = max((fault.end for fault in burst), default=last)
            now = end + max(needed, self._random.uniform(1.2, 3.0) * self._scale)
        return self._plan

    def _burst(self, begin: float, last: float) -> list[PlannedFault]:
        burst: list[PlannedFault] = []
        for number in range(self._random.choice(_BURSTS)):
            fault = self._fitting(burst, begin, last, first=number == 0)
            if fault is not None:
                burst.append(fault)
        self._plan += burst
        return burst

    def _fitting(
        self, burst: list[PlannedFault], begin: float, last: float, first: bool
    ) -> PlannedFault | None:
        put_back = []
        found = None
        for _ in range(_TRIES):
            kind = self._deal()
            start = begin if first else begin + self._random.uniform(0.1, 1.2) * self._scale
            least = max(_SHORTEST, kind.least_seconds)
            length = max(least, self._random.uniform(*kind.seconds) * self._scale)
            end = min(start + length, last)
            params = kind.draw(self._random, self._members)
            candidate = PlannedFault(
                f"f{len(self._plan) + len(burst) + 1}", kind.name, round(start, 3), round(end, 3), params
            )
            if end - start >= least and self._fits(candidate, burst):
                found = candidate
                break
            put_back.append(kind)
        self._deck = put_back + self._deck
        return found

    def _deal(self) -> FaultKind:
        if not self._deck:
            self._deck = self._random.sample(self._kinds, len(self._kinds))
        return self._deck.pop()

    def _fits(self, candidate: PlannedFault, burst: list[PlannedFault]) -> bool:
        """Judged over the whole burst, as if all of it overlapped: never too bold."""
        if any(fault.name == candidate.name for fault in burst):
            return False
        holding = [fault for fault in [*burst, candidate] if self._takes(fault)]
        if len(holding) <= 1 or candidate not in holding:
            return True
        if sum(self._takes(fault) for fault in holding) > (len(self._members) - 1) // 2:
            return False
        named = [fault.params["member"] for fault in holding]
        # A leader may turn out to be any member, so at most one of them is named by that word.
        return len(set(named)) == len(named) and named.count(LEADER) <= 1

    def _takes(self, fault: PlannedFault) -> int:
        return FAULTS[fault.name].takes_down(fault.params, self._members)
