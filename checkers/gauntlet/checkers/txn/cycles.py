"""Cycles in the dependency graph: for every anomaly a short one.

The kinds, each without, with process, or with real-time edges (then at least one of those):

    G0             ww only
    G1c            ww and wr, at least one wr
    G-single       exactly one rw
    G-nonadjacent  two rw or more, no two in a row
    G2-item        two rw in a row (others anywhere)

A cycle is looked for from each edge that it must have (a wr for G1c, an rw for the last three), breadth first
over (transaction, what the path has had so far); auxiliary nodes cost nothing. The path may meet a
transaction twice only where the kind depends on what came before, and such a path is not taken. The work is
bounded by a budget of visited states: a component always gets at least one cycle, but where the budget ran
out a stronger one may have been missed, and the result says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gauntlet.checkers.txn.anomalies import CYCLES, G0, G1C, G2_ITEM, G_NONADJACENT, G_SINGLE
from gauntlet.checkers.txn.graph import (
    PLAIN,
    PROCESS,
    RW,
    RW_TIME,
    TIME,
    WITH_PROCESS,
    WR,
    WW,
    WW_TIME,
    Graph,
    components,
)

BUDGET = 2_000_000  # visited states in all
SHARE = 100_000  # of them for one kind in one component
CYCLES_KEPT = 4  # of a name


class Step(NamedTuple):
    source: int
    target: int
    kind: int


Cycle = list[Step]

_RW = RW | RW_TIME
_TIMED = TIME | RW_TIME | WW_TIME


@dataclass(frozen=True, slots=True)
class _Level:
    suffix: str
    mask: int
    needs: int  # one edge of these types at least


_LEVELS = (
    _Level("", PLAIN, 0),
    _Level("-process", WITH_PROCESS, PROCESS),
    _Level("-realtime", WITH_PROCESS | TIME | RW_TIME, _TIMED),
    _Level("-realtime", WITH_PROCESS | _TIMED, WW_TIME),  # only where nothing else was found
)


@dataclass(slots=True)
class Cycles:
    """What was found: cycles by name, and in how many components each name occurs."""

    kept: dict[str, list[Cycle]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    components: int = 0
    largest: int = 0
    complete: bool = True


def find_cycles(graph: Graph) -> Cycles:
    found = Cycles()
    search = _Search(graph)
    for component in components(graph):
        real = sum(1 for node in component if node < graph.size)
        found.components += 1
        found.largest = max(found.largest, real)
        named = _in_component(search, component)
        if not named:
            cycle = search.anyhow(component)
            named = {classify(cycle): cycle}
        for name, cycle in named.items():
            found.counts[name] = found.counts.get(name, 0) + 1
            kept = found.kept.setdefault(name, [])
            kept.append(cycle)
            kept.sort(key=len)
            del kept[CYCLES_KEPT:]
    found.complete = search.complete
    return found


def _in_component(search: _Search, component: Sequence[int]) -> dict[str, Cycle]:
    """The shortest cycle of each kind; with process or real-time edges only where there is none without."""
    named: dict[str, Cycle] = {}
    kinds: set[str] = set()
    search.parts.clear()
    for level in _LEVELS:
        if level.needs == WW_TIME and named:
            break
        for kind in CYCLES:
            if kind in kinds:
                continue
            cycle = search.shortest(component, kind, level)
            if cycle is not None:
                named[kind + level.suffix] = cycle
                kinds.add(kind)
    return named


def classify(cycle: Cycle) -> str:
    """The name of a cycle by its edges."""
    kinds = [step.kind for step in cycle]
    anti = [bool(kind & _RW) for kind in kinds]
    count = sum(anti)
    if count == 0:
        base = G1C if any(kind & WR for kind in kinds) else G0
    elif count == 1:
        base = G_SINGLE
    else:
        adjacent = any(one and anti[i - 1] for i, one in enumerate(anti))
        base = G2_ITEM if adjacent else G_NONADJACENT
    if any(kind & _TIMED for kind in kinds):
        return base + "-realtime"
    return base + ("-process" if any(kind & PROCESS for kind in kinds) else "")


class _State(NamedTuple):
    node: int
    anti: bool  # the last edge was rw
    antis: int  # rw edges so far, 2 for more
    met: bool  # an edge that the level needs was met
    pending: int  # in an auxiliary node: the type of the edge under way, else 0


_Parents = dict[_State, tuple[_State, int]]  # the transaction before, and the type of the edge from it


class _Search:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.left = BUDGET
        self.complete = True
        self.parts: dict[int, list[list[int]]] = {}  # of the component at hand, by mask

    def shortest(self, component: Sequence[int], kind: str, level: _Level) -> Cycle | None:
        allowed, starts = level.mask, _RW
        if kind in (G0, G1C):
            allowed &= ~_RW
            starts = WR
        if kind == G0:
            allowed &= ~WR
            starts = WW | WW_TIME
        if allowed not in self.parts:
            self.parts[allowed] = components(self.graph, allowed, component)
        allowance = min(SHARE, self.left)
        best: Cycle | None = None
        for part in self.parts[allowed]:
            inside = set(part)
            for start in self._edges(part, allowed & starts, inside):
                if allowance <= 0:
                    self.complete = False
                    return best
                below = len(best) if best is not None else len(inside) + 1
                cycle, spent = self._from(start, kind, level.needs, allowed, inside, allowance, below)
                allowance -= spent
                self.left -= spent
                if cycle is not None:
                    best = cycle
                    if len(best) == 2:
                        return best
        return best

    def anyhow(self, component: Sequence[int]) -> Cycle:
        """A short cycle of whatever kind, when none of a certain kind was found within the budget."""
        inside, mask = set(component), _LEVELS[-1].mask
        for start in self._edges(component, mask, inside):
            limit = 100 * len(self.graph.successors)
            cycle, _ = self._from(start, "", 0, mask, inside, limit, len(inside) + 1)
            if cycle is not None:
                return cycle
        raise AssertionError("a component of two transactions has a cycle")

    def _edges(self, nodes: Sequence[int], mask: int, inside: set[int]) -> Iterator[Step]:
        """Edges between transactions of these types, those over auxiliary nodes included."""
        successors, size = self.graph.successors, self.graph.size
        for node in nodes:
            if node >= size:
                continue
            for target, kinds in successors[node].items():
                if target not in inside or not kinds & mask:
                    continue
                ends = (target,) if target < size else self._beyond(target, inside)
                for end in ends:
                    if end != node:
                        yield from (Step(node, end, kind) for kind in _bits(kinds & mask))

    def _beyond(self, auxiliary: int, inside: set[int]) -> Iterator[int]:
        """The transactions that an edge into an auxiliary node leads to."""
        successors, size = self.graph.successors, self.graph.size
        seen = {auxiliary}
        queue = deque([auxiliary])
        while queue:
            for target in successors[queue.popleft()]:
                if target in inside and target not in seen:
                    seen.add(target)
                    if target < size:
                        yield target
                    else:
                        queue.append(target)

    def _from(
        self, start: Step, kind: str, needs: int, allowed: int, inside: set[int], limit: int, below: int
    ) -> tuple[Cycle | None, int]:
        """The shortest cycle of the kind that begins with `start` and has less than `below` steps, and how
        many states it took."""
        size, successors, goal = self.graph.size, self.graph.successors, start.source
        begin = _State(
            start.target, bool(start.kind & _RW), int(bool(start.kind & _RW)), _met(start.kind, needs), 0
        )
        parents: _Parents = {}
        depth = {begin: 1}
        queue = deque([begin])
        spent = 0
        while queue:
            state = queue.popleft()
            steps = depth[state]
            if steps + 1 >= below:
                break
            spent += 1
            if spent > limit:
                self.complete = False
                break
            origin = parents[state][0] if state.pending else state
            for target, kinds in successors[state.node].items():
                if target not in inside or target == origin.node:
                    continue
                for edge in (state.pending,) if state.pending else _bits(kinds & allowed):
                    if target >= size:
                        following = state._replace(node=target, pending=edge)
                    elif not _may(kind, state, edge):
                        continue
                    else:
                        anti = bool(edge & _RW)
                        count = min(2, state.antis + anti)
                        following = _State(target, anti, count, state.met or _met(edge, needs), 0)
                        if target == goal:
                            if _closes(kind, following):
                                cycle = _trace(parents, origin, start, edge)
                                if cycle is not None:
                                    return cycle, spent
                            continue
                    if following not in depth:
                        parents[following] = origin, edge
                        if following.pending:
                            depth[following] = steps
                            queue.appendleft(following)
                        else:
                            depth[following] = steps + 1
                            queue.append(following)
        return None, spent


def _met(edge: int, needs: int) -> bool:
    return not needs or bool(edge & needs)


def _may(kind: str, state: _State, edge: int) -> bool:
    anti = bool(edge & _RW)
    if kind == G_SINGLE:
        return not anti
    if kind == G_NONADJACENT:
        return not (anti and state.anti)
    return kind != G2_ITEM or anti or state.antis != 1  # the first two edges are rw


def _closes(kind: str, state: _State) -> bool:
    if not state.met:
        return False
    if kind == G_NONADJACENT:
        return state.antis == 2 and not state.anti
    return kind != G2_ITEM or state.antis == 2


def _trace(parents: _Parents, state: _State, start: Step, final: int) -> Cycle | None:
    """The cycle's steps, the first one first; None when it meets a transaction twice."""
    steps = [Step(state.node, start.source, final)]
    while state in parents:
        before, kind = parents[state]
        steps.append(Step(before.node, state.node, kind))
        state = before
    steps.append(start)
    steps.reverse()
    return steps if len({step.source for step in steps}) == len(steps) else None


def _bits(mask: int) -> Iterator[int]:
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit
