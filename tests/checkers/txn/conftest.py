"""Transactions written as text, and stores that keep one isolation level and no better."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from gauntlet.checkers.records import Run
from porcupine import History, Operation, Outcome

Micro = tuple[str, Any, Any]
OUTCOMES = {"ok": Outcome.OK, "fail": Outcome.FAILED, "info": Outcome.UNKNOWN}


def operation(
    client: int, called: int, returned: int, micro: Iterable[Micro], outcome: str = "ok", **more: Any
) -> Operation:
    asked = tuple((f, key, None if f == "r" else value) for f, key, value in micro)
    response = None
    if outcome == "ok":
        response = tuple(sorted({"txn": tuple(micro), **more}.items()))
    end = None if outcome == "info" else returned
    return Operation(client, ("txn", None, (("txn", asked),)), called, end, OUTCOMES[outcome], response)


def parse(text: str) -> list[Micro]:
    """``ax1; rx1,2; ry-; wz3; rz3``: appends 1 to x, reads x = [1 2], y = nothing, writes and reads z = 3.

    A read of digits with a comma, or with a trailing one, is a list; ``r y []`` is written ``ry-``.
    """
    micro: list[Micro] = []
    for part in text.split(";"):
        word = part.strip()
        kind, key, rest = word[0], word[1], word[2:]
        if kind == "a":
            micro.append(("append", key, int(rest)))
        elif kind == "w":
            micro.append(("w", key, int(rest)))
        elif rest == "-":
            micro.append(("r", key, None))
        elif "," in rest:
            micro.append(("r", key, tuple(int(each) for each in rest.split(",") if each)))
        else:
            micro.append(("r", key, int(rest)))
    return micro


def history_of(*lines: str) -> Run:
    """Lines are ``client call-return [outcome] : micro-operations``; ids count from 0 in the order of the
    lines."""
    operations = []
    for number, line in enumerate(lines):
        head, _, micro = line.partition(":")
        words = head.split()
        called, returned = (int(each) for each in words[1].split("-"))
        one = operation(int(words[0]), called, returned, parse(micro), words[2] if len(words) > 2 else "ok")
        one.id = number
        operations.append(one)
    return Run(History(operations))


@pytest.fixture
def history() -> Callable[..., Run]:
    return history_of


@dataclass
class Store:
    """Runs transactions of several clients step by step at one isolation level; times are steps.

    serializable: one at a time, at one moment between call and return.
    snapshot: reads of the state at the begin (own writes included), first committer wins.
    parallel: as snapshot, but each client's snapshots lag behind, save for its own commits.
    read-committed: reads of the newest committed state; writes wait until the commit.
    read-uncommitted: reads and writes in place at once; failed ones leave their writes.
    """

    level: str
    rng: random.Random
    lists: bool
    failing: float = 0.0
    unknown: float = 0.0
    committed: dict[Any, list[Any]] = field(default_factory=dict)
    versions: list[tuple[Any, Any]] = field(default_factory=list)  # (key, value) in the order of commits
    operations: list[Operation] = field(default_factory=list)
    now: int = 0
    written: int = 0

    def run(self, count: int, clients: int, keys: int, longest: int = 4) -> Run:
        active: dict[int, _Running] = {}
        names = list(range(clients))
        begun = 0
        while begun < count or active:
            slot = self.rng.randrange(clients)
            self.now += 1
            running = active.get(slot)
            if running is None:
                if begun < count:
                    begun += 1
                    active[slot] = _Running(names[slot], self.now, self._draw(keys, longest), self._fate())
                continue
            if not running.step(self):
                del active[slot]
                if running.outcome == "info":
                    names[slot] = max(names) + 1
                self.operations.append(running.operation(self.now))
        return Run(History(self.operations))

    def _fate(self) -> str:
        draw = self.rng.random()
        return "fail" if draw < self.failing else "info" if draw < self.failing + self.unknown else "ok"

    def _draw(self, keys: int, longest: int) -> list[Micro]:
        micro: list[Micro] = []
        for _ in range(self.rng.randint(1, longest)):
            key = self.rng.randrange(keys)
            if self.rng.random() < 0.5:
                micro.append(("r", key, None))
            else:
                self.written += 1
                micro.append(("append" if self.lists else "w", key, self.written))
        return micro

    def read(self, state: dict[Any, list[Any]], key: Any) -> Any:
        values = state.get(key, [])
        if self.lists:
            return tuple(values)
        return values[-1] if values else None


@dataclass
class _Running:
    client: int
    called: int
    micro: list[Micro]
    outcome: str
    done: int = 0
    snapshot: dict[Any, list[Any]] | None = None
    base: dict[Any, int] = field(default_factory=dict)
    results: list[Micro] = field(default_factory=list)

    def operation(self, now: int) -> Operation:
        micro = self.results if self.outcome == "ok" else self.micro
        return operation(self.client, self.called, now, micro, self.outcome)

    def step(self, store: Store) -> bool:
        """False when it is over."""
        if store.level == "serializable":
            return self._at_once(store)
        state = store.committed
        if store.level in ("snapshot", "read-committed"):
            if self.snapshot is None:
                self.snapshot = {key: list(values) for key, values in state.items()}
                self.base = {key: len(values) for key, values in state.items()}
            if self.done == len(self.micro):
                return self._commit(store)
            if store.level == "read-committed":
                own = [m for m in self.results if m[0] != "r"]
                self.snapshot = {key: list(values) for key, values in state.items()}
                for _, key, value in own:
                    self.snapshot.setdefault(key, []).append(value)
            state = self.snapshot
        elif self.done == len(self.micro):
            return False
        f, key, value = self.micro[self.done]
        self.done += 1
        if f == "r":
            self.results.append((f, key, store.read(state, key)))
        else:
            state.setdefault(key, []).append(value)
            self.results.append((f, key, value))
        return True

    def _at_once(self, store: Store) -> bool:
        if self.done:
            return store.rng.random() < 0.5
        if store.rng.random() < 0.5:
            return True
        self.done = 1
        happens = self.outcome == "ok" or (self.outcome == "info" and store.rng.random() < 0.5)
        state = store.committed if happens else {key: list(v) for key, v in store.committed.items()}
        for f, key, value in self.micro:
            if f == "r":
                self.results.append((f, key, store.read(state, key)))
            else:
                state.setdefault(key, []).append(value)
                self.results.append((f, key, value))
        return True

    def _commit(self, store: Store) -> bool:
        writes = [(key, value) for f, key, value in self.micro if f != "r"]
        if store.level == "snapshot" and any(
            len(store.committed.get(key, [])) != self.base.get(key, 0) for key, _ in writes
        ):
            self.outcome = "fail"
        if self.outcome == "ok" or (self.outcome == "info" and store.rng.random() < 0.5):
            for key, value in writes:
                store.committed.setdefault(key, []).append(value)
        return False


@pytest.fixture
def store() -> Callable[..., Store]:
    return Store
