"""Models of common objects, each a plain class that can be copied and changed."""

from __future__ import annotations

from typing import Any

from porcupine.model import Model
from porcupine.models.cas_register import CasRegister
from porcupine.models.counter import Counter
from porcupine.models.kv import Kv, KvWhole
from porcupine.models.mutex import FencedMutex, Mutex
from porcupine.models.queue import Queue
from porcupine.models.register import Register
from porcupine.models.sets import Set

MODELS: dict[str, type[Model[Any]]] = {
    model.name: model
    for model in (Register, CasRegister, Kv, KvWhole, Counter, Set, Queue, Mutex, FencedMutex)
}


def by_name(name: str) -> Model[Any]:
    """A new model with its defaults; ValueError names the models there are."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; there are: {', '.join(sorted(MODELS))}")
    return MODELS[name]()


__all__ = [
    "MODELS",
    "CasRegister",
    "Counter",
    "FencedMutex",
    "Kv",
    "KvWhole",
    "Mutex",
    "Queue",
    "Register",
    "Set",
    "by_name",
]
