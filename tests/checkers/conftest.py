"""Histories of a correct store, made from a seed, to be used as they are or bent in one place."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from porcupine.kernel import KernelError, choose

Record = dict[str, Any]


@dataclass
class SimulatedStore:
    """A key-value store like etcd's, one operation at a time."""

    revision: int = 1
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)

    def apply(self, op: str, key: str, args: dict[str, Any]) -> dict[str, Any]:
        here = self.keys.get(key)
        if op == "put":
            return self._write(key, args["value"])
        if op == "delete":
            if here is None:
                return {"revision": self.revision, "deleted": 0}
            self.revision += 1
            del self.keys[key]
            return {"revision": self.revision, "deleted": 1, "mod_revision": 0}
        if op == "cas" and args["expected"] == (here["mod_revision"] if here else 0):
            return {**self._write(key, args["value"]), "succeeded": True}
        seen = dict(here) if here else {"value": None, "mod_revision": 0}
        answer = {"revision": self.revision, **seen}
        return {**answer, "succeeded": False} if op == "cas" else answer

    def _write(self, key: str, value: str) -> dict[str, Any]:
        self.revision += 1
        here = self.keys.get(key)
        self.keys[key] = {
            "value": value,
            "mod_revision": self.revision,
            "create_revision": here["create_revision"] if here else self.revision,
            "version": here["version"] + 1 if here else 1,
        }
        return {"revision": self.revision, "mod_revision": self.revision}


def simulate_store(
    seed: int,
    operations: int,
    clients: int = 8,
    keys: int = 4,
    unknown: float = 0.02,
    failed: float = 0.02,
    mean_ns: int = 1_000_000,
) -> list[Record]:
    """Records of a run in which each operation takes effect at one moment between its call and its return.

    Unknown operations take effect before the client gives up, long after, or never.
    """
    rng = random.Random(f"{seed}:store")
    store = SimulatedStore()
    known: dict[str, int] = {}
    records: list[Record] = []
    events: list[tuple[int, int, str, int]] = []
    for client in range(clients):
        heapq.heappush(events, (rng.randint(0, mean_ns), client, "call", client))
    sequence = clients

    def later(at: int, what: str, subject: int) -> None:
        nonlocal sequence
        sequence += 1
        heapq.heappush(events, (at, sequence, what, subject))

    while events:
        now, _, what, subject = heapq.heappop(events)
        if what == "effect":
            record = records[subject]
            answer = store.apply(record["op"], record["key"], record["args"])
            if record["outcome"] == "ok":
                record["response"] = answer
                if "mod_revision" in answer:
                    known[record["key"]] = answer["mod_revision"]
            continue
        if len(records) >= operations:
            continue
        key = f"k{rng.randrange(keys)}"
        op = rng.choices(["get", "put", "cas", "delete"], [44, 30, 20, 6])[0]
        value = f"{subject}.{len(records)}"
        args = {"get": {}, "delete": {}, "put": {"value": value}}.get(op)
        if args is None:
            args = {"expected": known.get(key, 0), "value": value}
        draw = rng.random()
        outcome = "failed" if draw < failed else "unknown" if draw < failed + unknown else "ok"
        if op == "get" and outcome == "unknown":
            outcome = "failed"
        took = 1 + int(rng.expovariate(1 / mean_ns))
        effect = now + rng.randint(0, took)
        record = {
            "id": len(records),
            "client": subject,
            "member": f"m{subject % 3 + 1}",
            "op": op,
            "key": key,
            "args": args,
            "call_ns": now,
            "return_ns": now + took,
            "outcome": outcome,
            "response": None,
            "error": None if outcome == "ok" else {"code": "UNAVAILABLE", "message": "no answer"},
        }
        records.append(record)
        if outcome == "unknown":
            effect = now + rng.choice([took // 2, 20 * took, 200 * took])
        if outcome == "ok" or (outcome == "unknown" and rng.random() < 0.7):
            later(effect, "effect", record["id"])
        later(now + took + rng.randint(0, mean_ns // 10), "call", subject)
    return records


@pytest.fixture(params=["python", "native"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Modules that use it run once with each kernel; the native one skips where it is not installed."""
    name: str = request.param
    try:
        choose(name)
    except KernelError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("PORCUPINE_KERNEL", name)
    return name


@pytest.fixture
def simulate() -> Callable[..., list[Record]]:
    return simulate_store
