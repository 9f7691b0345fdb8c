"""Read-write registers: a read shows one value, so the order of versions has to be inferred.

Rules:
1. Values are written once, so a value names its transaction. Null, the initial value, comes before all
   others.
2. A transaction that read one version and then wrote the key wrote a later one. Where these steps run in a
   circle, that is the anomaly "cyclic versions", and no more is inferred for the key.
3. By real time: when a transaction that wrote or read version u returned before one that wrote or read
   version v was called, u is the earlier one. That holds only if the key is linearizable, so these edges have
   types of their own (WW_TIME, RW_TIME) and cycles with them count as `-realtime`.
4. A write of unknown outcome counts only when its value was read.

Edges of rule 3 run over a chain of the key's versions, ordered by the last call that touched them, so that
they stay linear; those next to a version's own place go around it.
"""

from __future__ import annotations

from bisect import bisect_right

from gauntlet.checkers.txn.analysis import Analysis, Read
from gauntlet.checkers.txn.anomalies import CYCLIC_VERSIONS, G1A, G1B, INTERNAL, PHANTOM, Anomaly
from gauntlet.checkers.txn.graph import FREE, RW, RW_TIME, WR, WW, WW_TIME, Graph
from gauntlet.checkers.txn.records import READ, WRITE, Key, Txn, Txns, Value
from gauntlet.checkers.txn.words import full, name, read_text, value_text

AROUND = 64  # single edges around a version's own place; in a history without anomalies: its concurrency


class Registers(Analysis):
    def __init__(self, txns: Txns) -> None:
        super().__init__(txns, WRITE)
        self._readers: dict[Key, dict[Value, list[Txn]]] = {}
        self._before: dict[
            Key, dict[Value, tuple[Value, Txn]]
        ] = {}  # rule 2: version -> its predecessor, by whom
        for txn in txns.real:
            if txn.ok:
                self._collect(txn)
        self.versions = {key: self._seen_versions(key) for key in self.writers.of}
        for key in list(self._before):
            self._cyclic(key)
        self.find_lost_updates()

    def source(self, key: Key, value: Value) -> Value:
        return value

    def _collect(self, txn: Txn) -> None:
        current: dict[Key, Value] = {}
        outside: dict[Key, Value] = {}  # what was read of others, the last time before the first write
        written: dict[Key, Value] = {}
        for position, (f, key, value) in enumerate(txn.micro):
            if f == WRITE:
                written[key] = current[key] = value
            elif f == READ and self._mine(key, value):
                if key in current and current[key] == value:
                    continue
                own = self.writers.of.get(key, {}).get(value) is txn
                if own or key in current:  # own: written later, or replaced already
                    self._internal(txn, key, value, current.get(key))
                current[key] = value
                if own:
                    continue
                if key not in written:
                    outside[key] = value
                self.reads.append(Read(txn, key, value, position, key not in written))
                readers = self._readers.setdefault(key, {}).setdefault(value, [])
                readers.append(txn)
                self._source_of(txn, key, value)
        for key, value in written.items():
            if key in outside:
                self._before.setdefault(key, {})[value] = outside[key], txn

    def _mine(self, key: Key, value: object) -> bool:
        return not isinstance(value, tuple) and (
            value is not None or key in self.writers.of or not self.txns.lists
        )

    def _internal(self, txn: Txn, key: Key, got: Value, expected: Value) -> None:
        read = f"{full(txn)} read {key} = {value_text(got)}"
        text = f"{read} after it had itself read or written {value_text(expected)}."
        self.findings.add(Anomaly(INTERNAL, text, [txn]))

    def _source_of(self, txn: Txn, key: Key, value: Value) -> None:
        """Reads of failed, intermediate and unknown values."""
        if value is None:
            return
        writer = self.writers.of.get(key, {}).get(value)
        if writer is None:
            failed = self.writers.failed.get(key, {}).get(value)
            if failed is not None:
                text = f"{full(txn)} read {key} = {value}, but {full(failed)} had failed."
                self.findings.add(Anomaly(G1A, text, [failed, txn]))
            else:
                text = f"{full(txn)} read {key} = {value}, which nobody wrote."
                self.findings.add(Anomaly(PHANTOM, text, [txn]))
        elif value in self.writers.intermediate.get(key, ()):
            text = f"{full(txn)} read {key} = {value}, but {full(writer)} wrote the key again after that."
            self.findings.add(Anomaly(G1B, text, [writer, txn]))

    def _seen_versions(self, key: Key) -> dict[Value, Txn]:
        """Rule 4: the versions that certainly were, by their writers. Intermediate ones are none of the
        final."""
        readers = self._readers.get(key, {})
        intermediate = self.writers.intermediate.get(key, ())
        return {
            value: txn
            for value, txn in self.writers.of[key].items()
            if value in readers or (txn.ok and value not in intermediate)
        }

    def _cyclic(self, key: Key) -> None:
        steps = self._before[key]
        done: set[Value] = set()
        for start in steps:
            path: dict[Value, None] = {}
            value = start
            while value in steps and value not in path and value not in done:
                path[value] = None
                value = steps[value][0]
            done.update(path)
            if value in path:
                circle = list(path)[list(path).index(value) :]
                txns = [steps[each][1] for each in circle]
                text = " ".join(
                    f"{full(steps[each][1])} read {steps[each][0]} of {key} and wrote {each}."
                    for each in circle
                )
                self.findings.add(
                    Anomaly(CYCLIC_VERSIONS, text + " So each version is older than itself.", txns)
                )
                del self._before[key]
                return

    def add_edges(self, graph: Graph) -> None:
        for key, readers in self._readers.items():
            for value, txns in readers.items():
                writer = self.writers.of.get(key, {}).get(value)
                if writer is not None:
                    for txn in txns:
                        graph.add(writer.index, txn.index, WR)
        for key, versions in self.versions.items():
            self._from_initial(graph, key, versions)
            self._by_writes(graph, key)
            self._by_time(graph, key, versions)

    def _from_initial(self, graph: Graph, key: Key, versions: dict[Value, Txn]) -> None:
        readers = self._readers.get(key, {}).get(None)
        if not readers:
            return
        node = graph.auxiliary()
        for txn in readers:
            graph.add(txn.index, node, RW)
        for txn in versions.values():
            graph.successors[node][txn.index] = FREE

    def _by_writes(self, graph: Graph, key: Key) -> None:
        followers: dict[Value, list[Txn]] = {}
        for before, txn in self._before.get(key, {}).values():
            if before is not None:
                followers.setdefault(before, []).append(txn)
        for value, txns in followers.items():
            writer = self.writers.of[key].get(value)
            node = graph.auxiliary()
            for txn in txns:
                graph.successors[node][txn.index] = FREE
                if writer is not None:
                    graph.add(writer.index, txn.index, WW)
            for reader in self._readers[key][value]:
                graph.add(reader.index, node, RW)

    def _by_time(self, graph: Graph, key: Key, versions: dict[Value, Txn]) -> None:
        """Rule 3. A version's first return and last call are those of all that touched it."""
        first: dict[Value, float] = {}
        last: dict[Value, int] = {}
        for value, writer in versions.items():
            touching = [writer, *self._readers.get(key, {}).get(value, ())]
            last[value] = max(txn.operation.call_time_ns for txn in touching)
            first[value] = min(_returned(txn) for txn in touching)
        ordered = sorted(versions, key=last.__getitem__)
        calls = [last[value] for value in ordered]
        chain = [graph.auxiliary() for _ in ordered]
        for place, value in enumerate(ordered):
            graph.successors[chain[place]][versions[value].index] = FREE
            if place + 1 < len(chain):
                graph.successors[chain[place]][chain[place + 1]] = FREE
        for own, value in enumerate(ordered):
            begin = bisect_right(calls, first[value])
            targets = [versions[each].index for each in ordered[begin : min(own, begin + AROUND)]]
            rest = max(begin, own + 1) if begin <= own else begin
            if rest < len(chain):
                targets.append(chain[rest])
            if not targets:
                continue
            node = graph.auxiliary()
            for target in targets:
                graph.successors[node][target] = FREE
            writer = versions[value]
            graph.add(writer.index, node, WW_TIME)
            for reader in self._readers.get(key, {}).get(value, ()):
                graph.add(reader.index, node, RW_TIME)

    def _why(self, key: Key, before: Value, after: Value, writer: Txn) -> str | None:
        """Why version `before` is the earlier one."""
        if before is None:
            return f"{name(writer)} wrote {after} to {key}"
        step = self._before.get(key, {}).get(after)
        if step is not None and step[0] == before:
            return f"{name(writer)} replaced it with {after}"
        readers = self._readers.get(key, {})
        old = [
            each for each in (self.writers.of[key].get(before), *readers.get(before, ())) if each is not None
        ]
        new = [writer, *readers.get(after, ())]
        one = min(old, key=_returned, default=None)
        other = max(new, key=lambda each: each.operation.call_time_ns)
        if one is None or _returned(one) >= other.operation.call_time_ns:
            return None
        did = "written" if self.writers.of[key].get(before) is one else "read"
        does = "wrote" if other is writer else "read"
        if does == "wrote":
            return f"{name(writer)} wrote {after} after {name(one)} had {did} {before} and returned"
        return (
            f"{name(writer)} wrote {after}, which {name(other)} read, called after {name(one)} had {did} "
            f"{before} and returned"
        )

    def explain_ww(self, before: Txn, after: Txn) -> str | None:
        for key, value in _written(before):
            for where, later in _written(after):
                why = self._why(key, value, later, after) if where == key else None
                if why is not None:
                    return f"{name(before)} wrote {key} = {value}, and {why}"
        return None

    def explain_rw(self, before: Txn, after: Txn) -> str | None:
        for read in self.reads_of(before):
            for where, later in _written(after):
                same = where == read.key and later != read.value
                why = self._why(read.key, read.value, later, after) if same else None
                if why is not None:
                    return f"{read_text(before, read.key, read.value)}, and {why}"
        return None


def _written(txn: Txn) -> list[tuple[Key, Value]]:
    return [(key, value) for f, key, value in txn.micro if f == WRITE]


def _returned(txn: Txn) -> float:
    returned = txn.operation.return_time_ns
    return returned if txn.ok and returned is not None else float("inf")
