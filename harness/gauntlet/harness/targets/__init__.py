"""Clusters under test, and every wire into and inside them.

A target starts its members, knows them, and stops them whatever happens; each client link and each directed
member link runs through a Toxiproxy proxy of its own. Use:

    target = create_target("etcd:3.7.1", TargetOptions(directory=run.members, nodes=3))
    async with target:                      # start ... stop; nothing is left running, even after SIGKILL
        target.endpoints                    # {"m1": "127.0.0.1:20001", ...} through the client links
        target.direct_endpoints             # the same, past the proxies: for observers, not for clients
        await target.wait_healthy(30.0)     # TargetError with log tails when it does not serve
        target.check()                      # raises MemberDied when a member ended by itself
        await target.members["m1"].kill()   # restart, pause, resume, terminate: where target.can(PROCESS)
        await target.links.cut("f1", "m1", "m2"); await target.links.release("f1")

`start` must be called on the thread whose end means the end of the run (members die with it on Linux).
"""

from gauntlet.harness.targets.base import (
    NETWORK,
    PEER_NETWORK,
    PROCESS,
    Member,
    MemberDied,
    Target,
    TargetError,
    TargetOptions,
    TargetSpecError,
)
from gauntlet.harness.targets.factory import create_target

__all__ = [
    "NETWORK",
    "PEER_NETWORK",
    "PROCESS",
    "Member",
    "MemberDied",
    "Target",
    "TargetError",
    "TargetOptions",
    "TargetSpecError",
    "create_target",
]
