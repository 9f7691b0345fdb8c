"""A linearizability checker for any system: give it a history and a model, get a verdict and the reason.

See `porcupine.model` for how to write a model, and an example to copy.
"""

from __future__ import annotations

from porcupine.checking import Part, Result, check
from porcupine.explain import Explanation
from porcupine.history import History, HistoryError, Operation, Outcome
from porcupine.kernel import Kernel, KernelError
from porcupine.model import ANYTHING, NOTHING, LastWriter, Model, OneOf, Rejected
from porcupine.problem import Reductions
from porcupine.search import Budget, Stats, Verdict
from porcupine.verify import CertificateError, verify

__all__ = [
    "ANYTHING",
    "NOTHING",
    "Budget",
    "CertificateError",
    "Explanation",
    "History",
    "HistoryError",
    "Kernel",
    "KernelError",
    "LastWriter",
    "Model",
    "OneOf",
    "Operation",
    "Outcome",
    "Part",
    "Reductions",
    "Rejected",
    "Result",
    "Stats",
    "Verdict",
    "check",
    "verify",
]
