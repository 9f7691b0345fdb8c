"""/debug/vars."""

from __future__ import annotations

import gc
import json
import resource
import sys

from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.reference.node import Node


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
