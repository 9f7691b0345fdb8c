"""The whole of an etcd's store as one model: `Etcd` for porcupine, `decide` for long histories, `check_etcd`
for runs.

`calls` has the shapes of operations and answers, `records` their form in a history's lines, `store` what etcd
does, `decide` how a verdict is found.
"""

from __future__ import annotations

from gauntlet.checkers.etcd.check import check_etcd
from gauntlet.checkers.etcd.decide import Judgement, decide
from gauntlet.checkers.etcd.model import Etcd, with_expiries
from gauntlet.checkers.etcd.values import check_values

__all__ = ["Etcd", "Judgement", "check_etcd", "check_values", "decide", "with_expiries"]
