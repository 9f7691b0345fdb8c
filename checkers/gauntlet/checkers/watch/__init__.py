"""What etcd promises to those who watch, and whether they got it."""

from __future__ import annotations

from gauntlet.checkers.watch.alone import GUARANTEES
from gauntlet.checkers.watch.check import check_watch, judge_watchers
from gauntlet.checkers.watch.ledger import Compaction, Effect, Effects
from gauntlet.checkers.watch.records import (
    Delivery,
    Event,
    KeyValue,
    Request,
    Watcher,
    read_watches,
    write_watches,
)
from gauntlet.checkers.watch.robustness import read_robustness_watches, shown_value

__all__ = [
    "GUARANTEES",
    "Compaction",
    "Delivery",
    "Effect",
    "Effects",
    "Event",
    "KeyValue",
    "Request",
    "Watcher",
    "check_watch",
    "judge_watchers",
    "read_robustness_watches",
    "read_watches",
    "shown_value",
    "write_watches",
]
