"""Watch records of a correct store, made from a seed, to be used as they are or bent in one place."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from gauntlet.checkers.watch import Compaction, Delivery, Effect, Event, KeyValue, Request, Watcher

REQUESTS = (
    Request("\0", "\0"),
    Request("\0", "\0", prev_kv=True),
    Request("k0", "k5", progress_notify=True),
    Request("k3", prev_kv=True),
    Request("k2", "k8", noput=True, prev_kv=True),
    Request("\0", "\0", nodelete=True),
    Request("k1", "\0", fragment=True),
)


@dataclass
class World:
    """What a store did, and what its watchers were told."""

    effects: list[tuple[int, list[Effect]]] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    compactions: list[Compaction] = field(default_factory=list)


def store(rng: random.Random, revisions: int, keys: int) -> list[tuple[int, list[Effect]]]:
    """Revisions 2 and up: puts, deletes and txns over several keys."""
    alive: dict[str, tuple[int, int]] = {}
    effects = []
    for revision in range(2, revisions + 2):
        changes = []
        for number in sorted(rng.sample(range(keys), rng.choice([1, 1, 1, 2, 3]))):
            key = f"k{number}"
            if key in alive and rng.random() < 0.25:
                del alive[key]
                changes.append(Effect(key, None, 0, 0, 0))
            else:
                created, version = alive.get(key, (revision, 0))
                alive[key] = (created, version + 1)
                changes.append(Effect(key, f"v{revision}-{number}", created, version + 1, 0))
        effects.append((revision, changes))
    return effects


def tell(
    rng: random.Random, number: int, request: Request, effects: list[tuple[int, list[Effect]]]
) -> Watcher:
    """A watcher that is made at a random moment and follows to the end, in lists of several revisions."""
    watcher = Watcher(number, "w", f"m{number % 3 + 1}", request, 0)
    born = rng.randint(1, max(1, len(effects) // 3))
    start = request.start_revision or born + 1
    watcher.deliveries.append(Delivery("created", 1, 1, max(born, start - 1)))
    state: dict[str, KeyValue] = {}
    batch = Delivery("events", 0, 0)
    line = at = 1

    def flush() -> None:
        nonlocal batch, line, at
        if batch.events:
            line, at = line + 1, at + 1000
            batch.at_ns, batch.line, batch.revision = at, line, batch.events[-1].mod_revision
            watcher.deliveries.append(batch)
            batch = Delivery("events", 0, 0)

    for revision, changes in effects:
        for change in changes:
            prev = state.pop(change.key, None)
            if change.value is None:
                event = Event(revision, change.key, None, False, 0, 0, 0)
            else:
                created, version = change.create_revision, change.version
                is_create = created == revision
                event = Event(revision, change.key, change.value, is_create, created, version, 0)
                state[change.key] = KeyValue(change.value, revision, created, version, 0)
            if revision >= start and request.wants(event):
                batch.events.append(event)
                batch.prev.append(prev if request.prev_kv else None)
        if rng.random() < 0.5:
            flush()
        if revision >= start and rng.random() < 0.1:
            flush()
            line, at = line + 1, at + 1000
            watcher.deliveries.append(Delivery("progress", at, line, revision))
    flush()
    return watcher


def make_world(seed: int, revisions: int = 60, keys: int = 9, requests: int = 8) -> World:
    rng = random.Random(f"{seed}:watch")
    effects = store(rng, revisions, keys)
    world = World(effects)
    for number in range(requests):
        request = REQUESTS[number % len(REQUESTS)]
        if number == requests - 1:
            request = Request("\0", "\0", start_revision=2, prev_kv=True, progress_notify=True)
        world.watchers.append(tell(rng, number, request, effects))
    return world


@pytest.fixture
def world() -> Callable[..., World]:
    return make_world
