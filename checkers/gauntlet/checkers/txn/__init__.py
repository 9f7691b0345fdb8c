"""Transactions: anomalies of list-append and register histories, each with a short cycle and its story."""

from __future__ import annotations

from gauntlet.checkers.txn.anomalies import MODELS, STRICT_SERIALIZABLE, forbidden, refuted
from gauntlet.checkers.txn.checking import check_transactions
from gauntlet.checkers.txn.jepsen import read as read_jepsen
from gauntlet.checkers.txn.jepsen import read_objects as read_jepsen_objects

__all__ = [
    "MODELS",
    "STRICT_SERIALIZABLE",
    "check_transactions",
    "forbidden",
    "read_jepsen",
    "read_jepsen_objects",
    "refuted",
]
