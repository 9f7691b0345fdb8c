"""The histories of the benchmark: recorded ones of the Go module, and simulated ones from a seed."""

from __future__ import annotations

import heapq
import random
import re
from dataclasses import dataclass
from pathlib import Path

from porcupine import History, Operation, Outcome
from porcupine.formats import jepsen_log, kv_log


@dataclass(frozen=True)
class Case:
    name: str
    model: str  # by the name of porcupine.models
    history: History
    verdict: str


@dataclass(frozen=True)
class Track:
    """`wanted` says how much faster than Go the native kernel and the pure one should be; `in_all` the same
    for the sum of many cases."""

    name: str
    cases: tuple[Case, ...]
    wanted: str
    repeats: int = 20
    in_all: str = ""


def recorded(module: Path) -> list[Track]:
    source = (module / "porcupine_test.go").read_text(encoding="utf-8")
    jepsen = []
    for number, linearizable in re.findall(r"checkJepsen\(t, (\d+), (true|false)\)", source):
        name = f"etcd_{int(number):03d}"
        with (module / "test_data" / "jepsen" / f"{name}.log").open(encoding="utf-8") as lines:
            history = jepsen_log.read(lines)
        jepsen.append(Case(name, "cas-register", history, "valid" if linearizable == "true" else "invalid"))
    tracks = [Track("102 Jepsen histories", tuple(jepsen), "20x, 1x", in_all="50x, 3x")]
    for name, model in (("c50-ok", "kv"), ("c50-bad", "kv"), ("c10-ok", "kv-whole"), ("c10-bad", "kv-whole")):
        with (module / "test_data" / "kv" / f"{name}.txt").open(encoding="utf-8") as lines:
            case = Case(name, model, kv_log.read(lines), "valid" if name.endswith("ok") else "invalid")
        whole = " without partition" if model == "kv-whole" else ""
        tracks.append(Track(f"kv {name}{whole}", (case,), "20x, 1x", repeats=10))
    return tracks


def unknown_half() -> list[Track]:
    """3,000 operations, half of them of unknown outcome: with five values, and with every value unique."""
    few = simulate(1, 3000, unknown=0.5)
    unique = simulate(1, 3000, unknown=0.5, unique=True)
    wanted = "under 1 s, under 10 s"
    return [
        Track("3,000 operations, half unknown", (Case("few", "cas-register", few, "valid"),), wanted, 5),
        Track("the same, every value unique", (Case("unique", "cas-register", unique, "valid"),), wanted, 5),
    ]


def simulate(
    seed: int, count: int, *, clients: int = 10, values: int = 5, unknown: float = 0.01, unique: bool = False
) -> History:
    """A correct compare-and-swap register: every operation takes effect at one moment after its call.

    Operations of unknown outcome are writes and swaps; three in ten never happen, and some happen long after
    their client has gone.
    """
    rng = random.Random(f"{seed}:register")
    register: object = None
    operations: list[Operation] = []
    events: list[tuple[int, int, bool, int]] = []  # (time, tie, takes effect, operation or client)
    ties = iter(range(10 * count + 10 * clients))
    for client in range(clients):
        heapq.heappush(events, (rng.randint(0, 1000), next(ties), False, client))
    names = clients
    while events:
        now, _, effect, subject = heapq.heappop(events)
        if effect:
            register = _take_effect(operations[subject], register)
            continue
        if len(operations) == count:
            continue
        lost = rng.random() < unknown
        value = len(operations) if unique else rng.randrange(values)
        guess = register if unique else rng.randrange(values)
        name = rng.choices(("read", "write", "cas"), (0, 6, 4) if lost else (5, 2, 3))[0]
        call = {"read": ("read",), "write": ("write", value), "cas": ("cas", guess, value)}[name]
        took = 1 + int(rng.expovariate(1 / 1000))
        outcome = Outcome.UNKNOWN if lost else Outcome.OK
        operation = Operation(
            subject, call, now, None if lost else now + took, outcome, None, len(operations)
        )
        operations.append(operation)
        at = now + (rng.choice((took // 2, 20 * took, 200 * took)) if lost else rng.randint(0, took))
        if not lost or rng.random() < 0.7:
            heapq.heappush(events, (at, next(ties), True, operation.id))
        if lost:
            subject, names = names, names + 1
        heapq.heappush(events, (now + took + rng.randint(0, 100), next(ties), False, subject))
    return History(operations)


def _take_effect(operation: Operation, register: object) -> object:
    assert isinstance(operation.call, tuple)
    match operation.call:
        case ("write", value):
            return value
        case ("cas", expected, value):
            if operation.is_ok:
                operation.response = register == expected
            return value if register == expected else register
    operation.response = register
    return register
