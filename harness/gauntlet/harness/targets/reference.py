"""Target `reference`: our own node, started as a user would start it.

This file is the one place in the harness that knows how to start `gauntlet-etcd`; it imports nothing of it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from gauntlet.harness.targets.base import TargetError
from gauntlet.harness.targets.cluster import LocalCluster, MemberPlan
from gauntlet.harness.targets.etcd import etcd_flags

MODULE = "gauntlet.reference.server.main"


class ReferenceTarget(LocalCluster):
    def prepare(self) -> None:
        try:
            spec = importlib.util.find_spec(MODULE)
        except ModuleNotFoundError:
            spec = None
        if spec is None:
            raise TargetError(f"the reference node is not installed: there is no module {MODULE}")

    def command(self, plan: MemberPlan) -> Sequence[str]:
        return [sys.executable, "-m", MODULE, *etcd_flags(plan)]
