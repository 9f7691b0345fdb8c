"""/metrics and /debug/vars."""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from collections.abc import Iterator

from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.reference.node import Node
from gauntlet.reference.server.metrics.families import gauge, text
from gauntlet.reference.server.metrics.tally import Tally
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


class DescriptorCollector(Collector):
    """Open files of the process, where the system says it."""

    def collect(self) -> Iterator[Metric]:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield gauge("os_fd_limit", "How many files may be open.", limit)
        try:
            used = len(os.listdir("/proc/self/fd"))
        except OSError:
            return
        yield gauge("os_fd_used", "How many files are open.", used)


class MetricsPage:
    """The registry of one member; nothing is shared with others in the process."""

    def __init__(self, member: Collector, tally: Tally) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._tally = tally
        self.registry.register(member)
        self.registry.register(DescriptorCollector())
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        body = text(self.registry.collect())
        self._tally.scrapes["200"] += 1
        responder.send(200, body, TEXT_FORMAT)


def debug_vars(node: Node) -> dict[str, object]:
    """What expvar shows of an etcd, as far as it has a meaning here."""
    status = node.raft.status()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cmdline": sys.orig_argv,
        "file_descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "memstats": {
            "Sys": usage.ru_maxrss * 1024,
            "NumGC": sum(item["collections"] for item in gc.get_stats()),
        },
        "raft.status": {
            "id": f"{node.config.member_id:x}",
            "term": node.term,
            "vote": f"{status.vote:x}",
            "commit": node.commit_index,
            "lead": f"{node.leader:x}",
            "raftState": _ROLES[status.role.name],
            "applied": node.machine.applied_index,
            "progress": {
                f"{member:x}": {
                    "match": progress.match,
                    "next": progress.next,
                    "state": _STATES[progress.state.name],
                }
                for member, progress in sorted(status.progress.items())
            },
            "leadtransferee": f"{status.lead_transferee:x}",
        },
    }


_ROLES = {
    "FOLLOWER": "StateFollower",
    "CANDIDATE": "StateCandidate",
    "PRE_CANDIDATE": "StatePreCandidate",
    "LEADER": "StateLeader",
}


_STATES = {"PROBE": "StateProbe", "REPLICATE": "StateReplicate", "SNAPSHOT": "StateSnapshot"}


def vars_page(node: Node, request: HttpRequest, responder: HttpResponder) -> None:
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}"
        for name, value in debug_vars(node).items()
    )
    responder.send(200, f"{{\n{lines}\n}}\n".encode(), "application/json; charset=utf-8")
