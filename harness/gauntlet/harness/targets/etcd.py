"""Target `etcd:VERSION` or `etcd:/path/to/etcd`: unmodified upstream binaries, 3.4 to 3.7."""

from __future__ import annotations

from collections.abc import Sequence

from gauntlet.harness.targets.base import TargetOptions
from gauntlet.harness.targets.cluster import LocalCluster, MemberPlan
from gauntlet.harness.tools.find import Program, find_etcd


def etcd_flags(plan: MemberPlan) -> list[str]:
    """Flags that every etcd since 3.4 knows, and whatever claims to be one."""
    return [
        f"--name={plan.name}",
        f"--data-dir={plan.data}",
        f"--listen-client-urls={plan.client_url}",
        f"--advertise-client-urls={plan.advertised_client_url}",
        f"--listen-peer-urls={plan.peer_url}",
        f"--initial-advertise-peer-urls={plan.advertised_peer_url}",
        f"--initial-cluster={plan.initial_cluster}",
        f"--initial-cluster-token={plan.token}",
        "--initial-cluster-state=new",
    ]


class EtcdTarget(LocalCluster):
    def __init__(self, spec: str, options: TargetOptions) -> None:
        super().__init__(spec, options)
        self.program: Program | None = None

    def prepare(self) -> None:
        self.program = find_etcd(self.name, self.options.say)

    def command(self, plan: MemberPlan) -> Sequence[str]:
        assert self.program is not None
        return [str(self.program.path), *etcd_flags(plan)]
