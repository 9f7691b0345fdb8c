"""Which kernel searches: the one in Python, or the native one of the distribution ``porcupine-py-native``.

The native kernel is taken when it is installed and its version fits. ``PORCUPINE_KERNEL=python`` or
``native`` in the environment, or the argument `kernel` of `porcupine.check`, decides otherwise. Both follow
the same rules and give the same verdicts; orders and stuck points may be others that are as good.

- The models of `porcupine.models` are stepped in Rust, their partitions in threads; each valid verdict was
  verified there, by a verifier that shares nothing with the search.
- Any other model is narrowed here and searched in Rust, which asks for each state and kind of operation once;
  its orders are verified by `porcupine.verify`, as always.

This is the one module of porcupine that looks at the environment.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from porcupine.history import History, Operation
from porcupine.interned import Interned
from porcupine.intervals import plain
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model
from porcupine.models import (
    CasRegister,
    Counter,
    FencedMutex,
    Kv,
    KvWhole,
    Mutex,
    Queue,
    Register,
    Set,
)
from porcupine.models.kv import UNSEEN
from porcupine.problem import ALL, Reductions
from porcupine.search import Budget, Clock, DeadEnd, Outcome, Stats, Verdict
from porcupine.search import search as search_in_python
from porcupine.tighten import tighten

VARIABLE: Final = "PORCUPINE_KERNEL"
MODULE: Final = "porcupine_native"
FITS: Final = "0.2."  # what the version of a native kernel that this code can use begins with

_BUILT_IN = frozenset((Register, CasRegister, Kv, KvWhole, Counter, Set, Queue, Mutex, FencedMutex))
_ACCEPTED_EVERYWHERE, _NO_TOKEN_DECIDES = 2**32 - 1, 2**32 - 2
_FIRST, _LAST = -(2**63), 2**63 - 1  # stand for minus and plus infinity among times

Found = tuple[Hashable, list[Operation], Outcome]
"""A partition: its key, its operations, and what was found."""


class KernelError(ValueError):
    """A kernel was asked for that does not exist or is not installed."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that was chosen. `name` is "python", or "native" with its version."""

    name: str
    native: Any = None

    def search(
        self,
        operations: Sequence[Operation],
        model: Model[Any],
        reductions: Reductions | None = None,
        budget: Budget | None = None,
        clock: Clock | None = None,
        quick: bool = True,
    ) -> Outcome:
        """As `porcupine.search.search`."""
        if self.native is not None:
            reductions, budget = reductions or ALL, budget or Budget()
            limits = _limits(reductions, budget, clock)
            try:
                if type(model) in _BUILT_IN and not getattr(model, "learned", None):
                    columns = self.native.Columns(list(operations))
                    return self._judge(columns, model, False, {**limits, "quick": quick})[0][0][2]
                return self._search_foreign(operations, model, reductions, limits)
            except (NotImplementedError, OverflowError):
                pass  # calls, times or concurrency beyond what the native kernel takes
        return search_in_python(operations, model, reductions, budget, clock, quick)

    def check(
        self,
        history: History,
        model: Model[Any],
        reductions: Reductions | None = None,
        budget: Budget | None = None,
        clock: Clock | None = None,
        first_failure: bool = False,
        hasty: bool = False,
    ) -> tuple[list[Found], list[Hashable]] | None:
        """All partitions at once, the valid ones verified, and the keys of those that were left out; None
        where this kernel cannot do that. Of `first_failure` and `hasty` see `porcupine.check`.
        """
        if self.native is None or type(model) not in _BUILT_IN:
            return None
        limits = _limits(reductions or ALL, budget or Budget(), clock)
        try:
            limits.update(first_failure=first_failure, hasty=hasty)
            return self._judge(self.columns(history), model, True, limits)
        except (NotImplementedError, OverflowError):
            return None

    def columns(self, history: History) -> Any:
        """The history as the native kernel reads it; made once and kept by the history."""
        if history.columns is None:
            history.columns = self.native.Columns(list(history))
        return history.columns

    def _judge(
        self, columns: Any, model: Model[Any], learn: bool, limits: dict[str, Any]
    ) -> tuple[list[Found], list[Hashable]]:
        initial = model.initial if isinstance(model, Register) else None
        judged = self.native.check(columns, model.name, initial=initial, learn=learn, threads=0, **limits)
        parts: list[Found] = []
        for number in range(len(judged)):
            key, verdict, operations, order = judged.part(number)
            found = Outcome(Verdict(verdict), order, self._stats(judged.stats(number)))
            if found.verdict is not Verdict.VALID:
                ends, found.frontier, found.reason, contradiction, crowded = judged.stuck(number)
                found.contradiction, found.crowded = tuple(contradiction), tuple(crowded)
                found.reason += _where(found.crowded, model)
                for state, pending in ends:
                    found.dead_ends.append(DeadEnd(_state(state, model), tuple(pending)))
            parts.append((key, operations, found))
        return parts, judged.unjudged()

    def _stats(self, numbers: tuple[int, int, int, int, int, int]) -> Stats:
        stats = Stats(*numbers)
        stats.kernel = self.name
        return stats

    def _search_foreign(
        self,
        operations: Sequence[Operation],
        model: Model[Any],
        reductions: Reductions,
        limits: dict[str, Any],
    ) -> Outcome:
        """Lay the operations out for `porcupine_native.search`."""
        candidates = [operation for operation in operations if operation.is_ok or operation.is_unknown]
        narrowed = tighten(candidates, model) if reductions.tighten else plain(candidates)
        interned, kinds = Interned(model), dict[Hashable, int]()
        tokens, token = _Numbers(), None
        if isinstance(model, LastWriter):
            token = _token_of(model, interned, tokens)
        rows = []
        for index, operation in enumerate(candidates):
            kind = kinds.setdefault(model.identity(operation), len(kinds))
            if kind == len(interned.kinds):
                interned.kinds.append(operation)
            row = (
                max(_FIRST, min(_LAST, narrowed.low[index])),
                max(_FIRST, min(_LAST, narrowed.high[index])),
                narrowed.required[index],
                narrowed.dropped[index],
                kind,
                model.is_read(operation),
                model.sequence(operation),
                model.hint(operation),
                tokens.of(model.reads(operation)) if isinstance(model, LastWriter) else _NO_TOKEN_DECIDES,
                tokens.of(model.writes(operation)) if isinstance(model, LastWriter) else _ACCEPTED_EVERYWHERE,
            )
            rows.append(row)
        last = narrowed.contradiction[-1] if narrowed.contradiction else None
        verdict, order, frontier, ends, reason, crowded, stats = self.native.search(
            rows, len(kinds), interned.step, token, contradiction=last, **limits
        )
        crowd = tuple(candidates[index] for index in crowded)
        return Outcome(
            Verdict(verdict),
            [candidates[index] for index in order],
            self._stats(stats),
            [
                DeadEnd(interned.states[state], tuple(candidates[index] for index in pending))
                for state, pending in ends
            ],
            None if frontier is None else candidates[frontier],
            reason + _where(crowd, model),
            tuple(candidates[index] for index in narrowed.contradiction),
            crowd,
        )


def _where(crowd: Sequence[Operation], model: Model[Any]) -> str:
    """In words, where a search that gave up spent most."""
    if not crowd:
        return ""
    first = model.describe(crowd[0])
    return f"; most of them where {len(crowd)} operations were concurrent, the first {first}"


def _state(state: Any, model: Model[Any]) -> Any:
    """A state of the native kernel as the model has it."""
    if isinstance(model, KvWhole):
        return tuple(sorted((key, UNSEEN if text is ... else text) for key, text in state))
    if isinstance(model, Register):
        return model.initial if state is ... else state
    return UNSEEN if state is ... else state


class _Numbers:
    """Tokens as small integers."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {NOTHING: _ACCEPTED_EVERYWHERE, ANYTHING: _NO_TOKEN_DECIDES}

    def of(self, token: Hashable) -> int:
        return self._known.setdefault(token, len(self._known) - 2)


def _token_of(model: LastWriter[Any], interned: Interned, tokens: _Numbers) -> Callable[[int], int]:
    return lambda state: tokens.of(model.token(interned.states[state]))


def _limits(reductions: Reductions, budget: Budget, clock: Clock | None) -> dict[str, Any]:
    if budget.seconds is not None and clock is None:
        raise ValueError("a budget of seconds needs a clock, for example time.monotonic")
    limits: dict[str, Any] = {
        "reductions": (
            reductions.no_effect,
            reductions.interchangeable,
            reductions.pool,
            reductions.tighten,
            reductions.tokens,
            reductions.cut_after,
            reductions.window,
        ),
        "configurations": budget.configurations,
        "memory": budget.memory_bytes,
    }
    if clock is not None and budget.seconds is not None:
        limits.update(clock=clock, deadline=clock() + budget.seconds)
    return limits


PYTHON: Final = Kernel("python")


@lru_cache(maxsize=1)
def _installed() -> tuple[Kernel | None, str]:
    """The native kernel, or the reason why there is none."""
    try:
        module = importlib.import_module(MODULE)
    except ImportError as error:
        return None, f"porcupine-py-native is not installed ({error})"
    version = str(getattr(module, "__version__", "unknown"))
    if not version.startswith(FITS):
        return None, f"porcupine-py-native {version} does not fit: {FITS}* is needed"
    return Kernel(f"native {version}", module), ""


def choose(wanted: str | None = None) -> Kernel:
    """The kernel asked for, by the argument or else by the environment; the best one if nobody asks.

    Raises KernelError for a name that is none, and for a native kernel that is not there.
    """
    wanted = wanted or os.environ.get(VARIABLE) or None
    if wanted == "python":
        return PYTHON
    if wanted not in (None, "native"):
        raise KernelError(f"unknown kernel {wanted!r}: {VARIABLE} is python or native")
    native, reason = _installed()
    if native is not None:
        return native
    if wanted == "native":
        raise KernelError(f"the native kernel was asked for, but {reason}")
    return PYTHON
