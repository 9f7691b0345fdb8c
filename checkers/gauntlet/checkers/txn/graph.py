"""The dependency graph of transactions (Adya; Alvaro and Kingsbury, Elle), and its components.

Nodes 0 to n-1 are transactions. An edge says that one comes before the other in every serial order:

    WW       it wrote a version that the other replaced with the next one
    WR       it wrote the version that the other read
    RW       it read a version that the other replaced with the next one
    PROCESS  the same client was told of it before it began the other
    TIME     it returned before the other was called
    WW_TIME, RW_TIME   as WW and RW, for versions of a register whose order follows from real time only

Nodes from n on are auxiliary: they keep the number of edges linear where every one of many transactions comes
before every one of many others. An edge into one has the type, edges out of one have none (FREE); a path from
a transaction over auxiliary nodes to a transaction is one edge. Real time needs one auxiliary node for each
run of returns between two calls: returned -> node, node -> next node, node -> called. A transaction may reach
itself over an auxiliary node; that is no edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gauntlet.checkers.txn.records import Txn

FREE = 0
WW, WR, RW, PROCESS, TIME, WW_TIME, RW_TIME = (1 << bit for bit in range(7))
ALL = (1 << 7) - 1
PLAIN = WW | WR | RW
WITH_PROCESS = PLAIN | PROCESS
NAMES = {WW: "ww", WR: "wr", RW: "rw", PROCESS: "process", TIME: "realtime", WW_TIME: "ww", RW_TIME: "rw"}


class Graph:
    """Successors with the types of the edges as a mask; out of an auxiliary node the mask is FREE."""

    __slots__ = ("size", "successors")

    def __init__(self, size: int) -> None:
        self.size = size
        self.successors: list[dict[int, int]] = [{} for _ in range(size)]

    def auxiliary(self) -> int:
        self.successors.append({})
        return len(self.successors) - 1

    def add(self, source: int, target: int, kind: int) -> None:
        if source != target:
            edges = self.successors[source]
            edges[target] = edges.get(target, FREE) | kind

    def edges(self) -> int:
        return sum(map(len, self.successors))


def add_process(graph: Graph, txns: Sequence[Txn]) -> None:
    """An unknown transaction comes after what its client knew, and before nothing: it may happen late."""
    last: dict[object, int] = {}
    for txn in txns:
        client = txn.operation.client
        before = last.get(client)
        if before is not None:
            graph.add(before, txn.index, PROCESS)
        if txn.ok:
            last[client] = txn.index


def add_time(graph: Graph, txns: Sequence[Txn]) -> None:
    """Real time in three edges a transaction. Equal times are concurrent, so calls come before returns."""
    events = [(txn.operation.call_time_ns, 0, txn.index) for txn in txns]
    for txn in txns:
        returned = txn.operation.return_time_ns
        if txn.ok and returned is not None:
            events.append((returned, 1, txn.index))
    events.sort()
    successors = graph.successors
    node = -1
    called = True  # since the last return
    for _, returns, index in events:
        if not returns:
            if node >= 0:
                successors[node][index] = FREE
            called = True
            continue
        if called:
            new = graph.auxiliary()
            if node >= 0:
                successors[node][new] = FREE
            node, called = new, False
        graph.add(index, node, TIME)


def components(
    graph: Graph, mask: int = ALL, members: Iterable[int] | None = None, single: bool = False
) -> list[list[int]]:
    """Strongly connected components with two transactions or more, over edges of the mask (Tarjan,
    iterative).

    `members`: only these nodes, and edges between them. `single`: all the others too. Linear in nodes and
    edges.
    """
    successors = graph.successors
    inside = None if members is None else set(members)
    roots: Iterable[int] = range(len(successors)) if inside is None else sorted(inside)
    everything = mask == ALL and inside is None
    # 0: not met. Else the order of meeting, while on the stack; `closed` once its component is known.
    low = [0] * len(successors)
    closed = len(successors) + 1
    count = 0
    found: list[list[int]] = []
    stack: list[int] = []
    for root in roots:
        if low[root]:
            continue
        count += 1
        low[root] = count
        stack.append(root)
        path = [root]
        met = [count]
        pending = [iter(_reachable(graph, root, mask, inside, everything))]
        while path:
            node = path[-1]
            least = low[node]
            for following in pending[-1]:
                known = low[following]
                if not known:
                    low[node] = least
                    count += 1
                    low[following] = count
                    stack.append(following)
                    path.append(following)
                    met.append(count)
                    pending.append(iter(_reachable(graph, following, mask, inside, everything)))
                    break
                if known < least:
                    least = known
            else:
                path.pop()
                pending.pop()
                own = met.pop()
                low[node] = least
                if least == own:
                    component = _close(stack, node, low, closed)
                    if single or (len(component) > 1 and sum(each < graph.size for each in component) > 1):
                        found.append(component)
                elif least < low[path[-1]]:
                    low[path[-1]] = least
    return found


def _reachable(
    graph: Graph, node: int, mask: int, inside: set[int] | None, everything: bool
) -> Iterable[int]:
    edges = graph.successors[node]
    if everything:
        return edges
    free = node >= graph.size
    return [
        target
        for target, kind in edges.items()
        if (free or kind & mask) and (inside is None or target in inside)
    ]


def _close(stack: list[int], node: int, low: list[int], closed: int) -> list[int]:
    component = []
    while True:
        each = stack.pop()
        low[each] = closed
        component.append(each)
        if each == node:
            return component
