"""Names of anomalies, and which consistency models each of them refutes.

Sources: Adya, "Weak Consistency" (G0 to G2, PL-1 to PL-3, PL-2+); Cerone, Bernardi, Gotsman, "A Framework for
Transactional Consistency Models" (internal consistency, parallel snapshot isolation, the cycles of snapshot
isolation); Berenson et al. (lost update); Bailis et al., "Highly Available Transactions" (the lattice).

All dependencies here are by item: no micro-operation reads by predicate. So what Adya calls G2 can be seen
only as G2-item, which refutes repeatable read and with it everything that G2 refutes; phantoms by predicate
are not looked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from gauntlet.checkers.txn.records import Txn

G1A, G1B = "G1a", "G1b"
INTERNAL = "internal"
LOST_UPDATE = "lost-update"
DIRTY_UPDATE = "dirty-update"
INCOMPATIBLE_ORDER = "incompatible-order"
DUPLICATE_ELEMENTS = "duplicate-elements"
CYCLIC_VERSIONS = "cyclic-versions"
PHANTOM = "phantom-value"
WRONG_REVISION = "revision-mismatch"  # refutes no model: etcd promises that revisions tell the truth

G0, G1C, G_SINGLE, G_NONADJACENT, G2_ITEM = "G0", "G1c", "G-single", "G-nonadjacent", "G2-item"
CYCLES = (G0, G1C, G_SINGLE, G_NONADJACENT, G2_ITEM)

TITLES = {
    G0: "write cycle",
    G1C: "circular information flow",
    G_SINGLE: "read skew",
    G_NONADJACENT: "long fork",
    G2_ITEM: "write skew or another anti-dependency cycle",
    G1A: "aborted read",
    G1B: "intermediate read",
    INTERNAL: "a transaction contradicts itself",
    LOST_UPDATE: "lost update",
    DIRTY_UPDATE: "dirty update",
    INCOMPATIBLE_ORDER: "incompatible orders of one list",
    DUPLICATE_ELEMENTS: "an element appended once is there twice",
    CYCLIC_VERSIONS: "cyclic order of versions",
    PHANTOM: "a value nobody wrote",
    WRONG_REVISION: "revisions and values disagree",
}

_AGAINST = {"-process": ", against a client's own order", "-realtime": ", against real time"}


def title(name: str) -> str:
    """The name in words."""
    for suffix, words in _AGAINST.items():
        if name.endswith(suffix):
            return TITLES[name.removesuffix(suffix)] + words
    return TITLES[name]


STRICT_SERIALIZABLE = "strict-serializable"

# model -> (the weaker models it implies, the anomalies it is the weakest to forbid)
_MODELS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "read-uncommitted": ((), (G0, DUPLICATE_ELEMENTS, PHANTOM, CYCLIC_VERSIONS)),
    "read-committed": (("read-uncommitted",), (G1A, G1B, G1C, DIRTY_UPDATE, INCOMPATIBLE_ORDER)),
    "read-atomic": (("read-committed",), (INTERNAL,)),
    "cursor-stability": (("read-committed",), (LOST_UPDATE,)),
    "consistent-view": (("read-committed",), (G_SINGLE,)),
    "repeatable-read": (("cursor-stability", "read-atomic"), (G2_ITEM, G_SINGLE, G_NONADJACENT)),
    "parallel-snapshot-isolation": (("read-atomic", "cursor-stability", "consistent-view"), ()),
    "snapshot-isolation": (("parallel-snapshot-isolation",), (G_NONADJACENT,)),
    "serializable": (("snapshot-isolation", "repeatable-read"), ()),
    "strong-session-read-uncommitted": (("read-uncommitted",), ("G0-process",)),
    "strong-session-read-committed": (
        ("strong-session-read-uncommitted", "read-committed"),
        ("G1c-process",),
    ),
    "strong-session-snapshot-isolation": (
        ("snapshot-isolation", "strong-session-read-committed"),
        ("G-single-process", "G-nonadjacent-process"),
    ),
    "strong-session-serializable": (
        ("serializable", "strong-session-snapshot-isolation"),
        ("G2-item-process",),
    ),
    "strong-read-uncommitted": (("strong-session-read-uncommitted",), ("G0-realtime",)),
    "strong-read-committed": (
        ("strong-read-uncommitted", "strong-session-read-committed"),
        ("G1c-realtime",),
    ),
    "strong-snapshot-isolation": (
        ("strong-session-snapshot-isolation", "strong-read-committed"),
        ("G-single-realtime", "G-nonadjacent-realtime"),
    ),
    STRICT_SERIALIZABLE: (
        ("strong-session-serializable", "strong-snapshot-isolation"),
        ("G2-item-realtime",),
    ),
}
MODELS = tuple(_MODELS)


def forbidden(model: str) -> set[str]:
    """Every anomaly that refutes the model. ValueError names the models there are."""
    if model not in _MODELS:
        raise ValueError(f"unknown consistency model {model!r}; there are: {', '.join(MODELS)}")
    weaker, own = _MODELS[model]
    return set(own).union(*(forbidden(each) for each in weaker))


def refuted(names: Collection[str]) -> list[str]:
    """The models that a history with these anomalies does not keep, in the order of `MODELS`."""
    return [model for model in MODELS if not forbidden(model).isdisjoint(names)]


def weakest(models: Collection[str]) -> list[str]:
    """Of these models, those that imply no other of them: what a refutation comes down to."""
    return [model for model in models if not set(_implied(model)) & set(models)]


def _implied(model: str) -> set[str]:
    weaker = _MODELS[model][0]
    return set(weaker).union(*(_implied(each) for each in weaker))


@dataclass(slots=True)
class Anomaly:
    """One proof: its name, the story, the transactions, and for a cycle its steps for tables and drawings."""

    name: str
    text: str
    txns: list[Txn]
    steps: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "text": self.text,
            "operations": [txn.operation.id for txn in self.txns],
            "steps": self.steps,
        }
