"""Downgrade: preparing a cluster to be run by the version before its own.

Rules (etcd 3.7.1, package version): the only target is one minor version below the cluster's. Enabling is an
entry in the log; the leader then lowers the cluster version, and calls the downgrade off by itself when every
member runs the target. Cancelling always succeeds, also where there is nothing to cancel.
"""

from __future__ import annotations

import re

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import membershippb
from gauntlet.api.wire.types import Context, Reply
from gauntlet.reference.apply import Applied
from gauntlet.reference.services.base import Service

UNKNOWN_METHOD = RpcError(errors.Code.UNKNOWN, "etcdserver: unknown method", definite=True)
_VERSION = re.compile(r"([+-]?[0-9]+)\.([+-]?[0-9]+)\.[+-]?[0-9]+(-[^+]*)?(\+.*)?", re.DOTALL)

Version = tuple[int, int]


def parse_target(text: str) -> Version | None:
    """Major and minor of `3.6.0` or `3.6`; None for anything else."""
    match = _VERSION.fullmatch(text) or _VERSION.fullmatch(f"{text}.0")
    return None if match is None else (int(match[1]), int(match[2]))


class DowngradeService(Service):
    def downgrade(self, context: Context, request: pb.DowngradeRequest, reply: Reply) -> None:
        if request.action == pb.DowngradeRequest.CANCEL:
            self._cancel(context, reply)
            return
        if request.action not in (pb.DowngradeRequest.VALIDATE, pb.DowngradeRequest.ENABLE):
            reply(UNKNOWN_METHOD)
            return
        target = parse_target(request.version)
        if target is None:
            reply(errors.WRONG_DOWNGRADE_VERSION_FORMAT)
        elif self.node.machine.cluster.version is None:
            reply(errors.CLUSTER_VERSION_UNAVAILABLE)
        else:
            enable = request.action == pb.DowngradeRequest.ENABLE
            self.when_linearizable(lambda: self._validated(context, target, enable, reply), reply)

    def _validated(self, context: Context, target: Version, enable: bool, reply: Reply) -> None:
        cluster = self.node.machine.cluster
        major, minor = (int(part) for part in (cluster.version or "0.0.0").split(".")[:2])
        if target != (major, minor - 1):
            reply(errors.INVALID_DOWNGRADE_TARGET_VERSION)
        elif cluster.downgrade.enabled:
            reply(errors.DOWNGRADE_IN_PROCESS)
        elif enable:
            wanted = membershippb.DowngradeInfoSetRequest(enabled=True, ver=f"{target[0]}.{target[1]}.0")

            def answer(result: Applied) -> None:
                if result.error is not None:
                    reply(result.error)
                else:
                    self._answer(reply)

            self.guard.propose(context, pb.InternalRaftRequest(downgrade_info_set=wanted), answer)
        else:
            self._answer(reply)

    def _cancel(self, context: Context, reply: Reply) -> None:
        def release(error: RpcError | None) -> None:
            if error is not None or not self.node.machine.cluster.downgrade.enabled:
                self._answer(reply)
                return
            off = membershippb.DowngradeInfoSetRequest(enabled=False)
            self.guard.propose(
                context, pb.InternalRaftRequest(downgrade_info_set=off), lambda _: self._answer(reply)
            )

        self.node.read(release)

    def _answer(self, reply: Reply) -> None:
        version = ".".join((self.node.machine.cluster.version or "").split(".")[:2])
        reply(pb.DowngradeResponse(header=self.header(), version=version))
