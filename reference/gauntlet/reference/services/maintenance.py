"""Maintenance: alarms, status, hashes, the backend as a stream, handing leadership over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply, ServerStream
from gauntlet.reference.node import Node
from gauntlet.reference.services.base import Service
from gauntlet.reference.services.guard import Guard

# Bytes of the backend in one message of the snapshot stream, and how many may wait for a slow reader.
SNAPSHOT_CHUNK = 32 * 1024
SNAPSHOT_BACKLOG = 1024 * 1024


class MaintenanceService(Service):
    """`version` is what Status reports; `quota` the backend quota in bytes."""

    def __init__(self, node: Node, guard: Guard, version: str, quota: int) -> None:
        super().__init__(node, guard)
        self._version = version
        self._quota = quota

    def alarm(self, context: Context, request: pb.AlarmRequest, reply: Reply) -> None:
        """Looking is for every user, changing for root."""
        require = (
            self.guard.require_user if request.action == pb.AlarmRequest.GET else self.guard.require_root
        )
        proposal = pb.InternalRaftRequest(alarm=request)
        require(context, lambda: self.propose(context, proposal, reply), reply)

    def status(self, context: Context, request: pb.StatusRequest, reply: Reply) -> None:
        node = self.node
        machine = node.machine
        size = machine.backend.size()
        response = pb.StatusResponse(
            header=self.header(),
            version=self._version,
            leader=node.leader,
            raftIndex=node.commit_index,
            raftAppliedIndex=machine.applied_index,
            raftTerm=node.term,
            dbSize=size,
            dbSizeInUse=size,
            isLearner=machine.cluster.is_learner(node.config.member_id),
            dbSizeQuota=self._quota,
            storageVersion=machine.cluster.version or "",
            downgradeInfo=pb.DowngradeInfo(
                enabled=machine.cluster.downgrade.enabled,
                targetVersion=machine.cluster.downgrade.target_version,
            ),
        )
        if not node.leader:
            response.errors.append(errors.NO_LEADER.message)
        for alarm in machine.alarms.get():
            member = f"memberID:{alarm.memberID} " if alarm.memberID else ""
            response.errors.append(f"{member}alarm:{pb.AlarmType.Name(alarm.alarm)}")
        reply(response)

    def hash(self, context: Context, request: pb.HashRequest, reply: Reply) -> None:
        value = self.node.machine.store.hash()
        reply(pb.HashResponse(header=self.header(), hash=value))

    def hash_kv(self, context: Context, request: pb.HashKVRequest, reply: Reply) -> None:
        def compute() -> pb.HashKVResponse:
            result = self.node.machine.store.hash_kv(request.revision)
            return pb.HashKVResponse(
                header=self.header(result.current_revision),
                hash=result.hash,
                compact_revision=result.compact_revision,
                hash_revision=result.hash_revision,
            )

        self.local(compute, reply)

    def defragment(self, context: Context, request: pb.DefragmentRequest, reply: Reply) -> None:
        """The store in memory has no holes to close."""
        reply(pb.DefragmentResponse())

    def move_leader(self, context: Context, request: pb.MoveLeaderRequest, reply: Reply) -> None:
        node = self.node
        if not node.is_leader:
            reply(errors.NOT_LEADER)
            return
        member = node.machine.cluster.member(request.targetID)
        if member is None or member.is_learner:
            reply(errors.BAD_LEADER_TRANSFEREE)
            return

        def done(error: RpcError | None) -> None:
            reply(error if error is not None else pb.MoveLeaderResponse())

        node.transfer_leadership(request.targetID, done)

    def snapshot(self, stream: ServerStream) -> SnapshotStream:
        return SnapshotStream(self, stream)


class SnapshotStream:
    """Sends the backend in chunks no faster than the reader takes them, then the SHA-256 of all of it."""

    def __init__(self, service: MaintenanceService, stream: ServerStream) -> None:
        self._service = service
        self._stream = stream
        self._ended = False

    def on_message(self, message: pb.SnapshotRequest) -> None:
        machine = self._service.node.machine
        frozen = machine.freeze()
        self._blobs = self._cut(frozen.chunks())
        self._remaining = frozen.size
        self._digest = hashlib.sha256()
        self._version = machine.cluster.version or ""
        self._stream.on_drain(self._pump)
        self._pump()

    def on_half_close(self) -> None:
        return

    def on_cancel(self) -> None:
        self._ended = True

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pieces are made as they are sent: nobody waits for the whole."""
        for piece in pieces:
            self._digest.update(piece)
            for start in range(0, len(piece), SNAPSHOT_CHUNK):
                yield piece[start : start + SNAPSHOT_CHUNK]

    def _pump(self) -> None:
        while not self._ended and self._stream.backlog < SNAPSHOT_BACKLOG:
            blob = next(self._blobs, None)
            if blob is None:
                self._ended = True
                self._stream.send(pb.SnapshotResponse(blob=self._digest.digest(), version=self._version))
                self._stream.finish()
                return
            self._remaining -= len(blob)
            self._stream.send(
                pb.SnapshotResponse(remaining_bytes=self._remaining, blob=blob, version=self._version)
            )
