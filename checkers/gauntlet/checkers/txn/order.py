"""An order of transactions that proves a consistency model: the verdict "valid", as something to look at.

1. Where revisions are recorded, theirs.
2. Else that of the graph by values: each transaction after those that it depends on, else by their calls.
   Where registers leave the versions' order open, the first that reads what registers hold then, and that
   replaces nothing that somebody still has to read. This is a guess: it may end where another would not.
3. Where that cannot be carried out, the graph's order alone.

`proof.refusal` has the last word about 1 and 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from gauntlet.checkers.txn.graph import Graph, components
from gauntlet.checkers.txn.proof import (
    ACYCLIC,
    BY_PROCESS,
    BY_TIME,
    MASKS,
    NOTHING,
    SERIAL,
    Order,
    needed,
    read_pairs,
    refusal,
)
from gauntlet.checkers.txn.readings import BY_REVISION, BY_VALUE, Reading
from gauntlet.checkers.txn.records import READ, WRITE, Key, Txn, Txns, Value
from gauntlet.checkers.txn.revisions import RevisionOrder

WAITS: Final = 50  # how often a transaction is found not to be next, on average


def find_order(found: Mapping[str, Reading], txns: Txns, model: str) -> Order | None:
    """An order that proves the model; None where the graph has cycles, which weaker models allow."""
    graph = found[BY_VALUE].graph
    revisions = found[BY_REVISION].sources[0] if BY_REVISION in found else None
    for bound in (BY_TIME, BY_PROCESS, NOTHING):
        if isinstance(revisions, RevisionOrder):
            told = _by_revision(txns.real, revisions)
            if told is not None and refusal(txns, told, bound) is None:
                return Order(SERIAL, bound, [txn.index for txn in told])
        plan = _plan(graph, txns.real, MASKS[bound])
        if plan is not None:
            held = _Registers(txns)
            order = [txns.real[node] for node in _carried_out(plan, held) if node in held.taken]
            if refusal(txns, order, bound) is None:
                return Order(SERIAL, bound, [txn.index for txn in order])
            return Order(ACYCLIC, bound, _carried_out(plan, None))
        if bound == needed(model):
            return None
    return None


def _by_revision(txns: Sequence[Txn], revisions: RevisionOrder) -> list[Txn] | None:
    """As etcd's revisions tell it; None where they do not tell it of an answered transaction."""
    keyed = []
    for txn in txns:
        revision = revisions.revision.get(txn.index, txn.revision)
        if revision is not None:
            keyed.append((revision, txn.index not in revisions.revision, txn.operation.call_time_ns, txn))
        elif txn.ok:
            return None
    return [txn for *_, txn in sorted(keyed, key=lambda each: each[:3])]


class _Registers:
    """What registers hold while transactions are carried out one after the other, and who still has to read
    that. Where the versions' order is not known, this tells which of several transactions may come next."""

    def __init__(self, txns: Txns) -> None:
        self.txns = txns.real
        self.values: dict[Key, Value] = {}
        self.unread: Counter[tuple[Key, Value]] = Counter()
        self.reads = [_first_reads(txn) if txn.ok else {} for txn in txns.real]
        seen: set[tuple[Key, Value]] = {pair for txn in txns.real for pair in read_pairs(txn)}
        self.taken = {
            txn.index
            for txn in txns.real
            if txn.ok or any(f != READ and (key, value) in seen for f, key, value in txn.micro)
        }
        """Those that were answered, or of which somebody read something."""
        for reads in self.reads:
            self.unread.update(reads.items())

    def may_follow(self, node: int) -> bool:
        reads = self.reads[node]
        if any(self.values.get(key) != value for key, value in reads.items()):
            return False
        for f, key, _ in self.txns[node].micro if node in self.taken else ():
            if f == WRITE and self.unread[key, self.values.get(key)] > (key in reads):
                return False
        return True

    def follow(self, node: int) -> None:
        self.unread.subtract(self.reads[node].items())
        for f, key, value in self.txns[node].micro if node in self.taken else ():
            if f == WRITE:
                self.values[key] = value


def _first_reads(txn: Txn) -> dict[Key, Value]:
    """What it read of each register before it wrote it."""
    found: dict[Key, Value] = {}
    written: set[Key] = set()
    for f, key, value in txn.micro:
        if f == WRITE:
            written.add(key)
        elif f == READ and key not in written and not isinstance(value, tuple):
            found.setdefault(key, value)
    return found


@dataclass(slots=True)
class _Plan:
    """The graph without circles: parts of one transaction with the auxiliary nodes over which it reaches
    itself, or of auxiliary nodes alone."""

    node: list[int | None]  # the transaction of each part
    called: list[int]
    before: list[int]  # how many edges lead to each part
    after: list[list[int]]


def _plan(graph: Graph, txns: Sequence[Txn], mask: int) -> _Plan | None:
    """None where there is a cycle."""
    successors, size = graph.successors, graph.size
    parts = components(graph, mask, single=True)
    part_of = [0] * len(successors)
    plan = _Plan([], [], [0] * len(parts), [[] for _ in parts])
    for number, part in enumerate(parts):
        inside = [node for node in part if node < size]
        if len(inside) > 1:
            return None
        plan.node.append(inside[0] if inside else None)
        plan.called.append(txns[inside[0]].operation.call_time_ns if inside else -1)  # -1: at once
        for node in part:
            part_of[node] = number
    for node, edges in enumerate(successors):
        own = part_of[node]
        for target, kinds in edges.items():
            if part_of[target] != own and (node >= size or kinds & mask):
                plan.before[part_of[target]] += 1
                plan.after[own].append(part_of[target])
    return plan


def _carried_out(plan: _Plan, held: _Registers | None) -> list[int]:
    """All transactions, each after those that it depends on, else by their calls, and if `held` is given so
    that each reads what registers hold. Where none can follow, or too many wait, fewer."""
    before = list(plan.before)
    ready = [(plan.called[part], part) for part, count in enumerate(before) if not count]
    heapify(ready)
    waiting: list[tuple[int, int]] = []
    order: list[int] = []
    tries = WAITS * len(before)
    while ready and tries > 0:
        called, part = heappop(ready)
        node = plan.node[part]
        if node is not None:
            if held is not None and not held.may_follow(node):
                waiting.append((called, part))
                tries -= 1
                continue
            order.append(node)
            if held is not None:
                held.follow(node)
        for each in plan.after[part]:
            before[each] -= 1
            if not before[each]:
                heappush(ready, (plan.called[each], each))
        while waiting:
            heappush(ready, waiting.pop())
    return order
