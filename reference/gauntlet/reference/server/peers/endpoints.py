"""What this member answers on its peer port: the paths below /raft, /version and /members.

Every request below /raft, probes aside, must come from a compatible member of this cluster (see identity.py).
A message must also be from a member that has not been removed, and for this member. The status codes and
bodies are etcd's (rafthttp and etcdhttp, 3.7.1): a member that dials acts upon them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.reference.formats.raftpb import decode_message
from gauntlet.reference.formats.varint import DecodeError
from gauntlet.reference.raft.types import Message, MessageType
from gauntlet.reference.server.metrics.tally import SnapshotTally
from gauntlet.reference.server.peers.codec import READ_LIMIT, CodecError, SnapshotDecoder
from gauntlet.reference.server.peers.identity import TO_MISMATCH, Identity, format_id, parse_id
from gauntlet.reference.server.peers.routes import Routes, error, json_error

FROM_REMOVED = "cannot process message from removed member"
TO_ANOTHER = "cannot process message to mismatch member"
UNKNOWN_SENDER = "unknown-snapshot-sender"


class SnapshotSink(Protocol):
    """Takes the database of a snapshot that is being received."""

    def write(self, data: bytes) -> None: ...

    def finish(self, answer: Callable[[str | None], None]) -> None:
        """All of it is there: save it, give the message to raft, then answer None, or what went wrong."""

    def abort(self) -> None:
        """The sender broke off; forget what was written."""


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A member as `GET /members` shows it."""

    id: int
    peer_urls: Sequence[str]
    name: str = ""
    client_urls: Sequence[str] = ()
    is_learner: bool = False

    def as_json(self) -> dict[str, object]:
        out: dict[str, object] = {"id": self.id, "peerURLs": list(self.peer_urls)}
        if self.is_learner:
            out["isLearner"] = True
        if self.name:
            out["name"] = self.name
        if self.client_urls:
            out["clientURLs"] = list(self.client_urls)
        return out


class ClusterView(Protocol):
    """What the state machine knows of the cluster. Versions are None while they are not decided."""

    def members(self) -> Sequence[MemberInfo]: ...

    def cluster_version(self) -> str | None: ...

    def storage_version(self) -> str | None: ...


class Receiver(Protocol):
    """What the endpoints need of the transport."""

    def is_removed(self, member_id: int) -> bool: ...

    def deliver(self, message: Message, size: int) -> None: ...

    def begin_snapshot(self, message: Message) -> SnapshotSink: ...

    def learn_remote(self, member_id: int, urls: Sequence[str]) -> None: ...

    def has_peer(self, member_id: int) -> bool: ...

    def attach(self, kind: str, member_id: int, responder: HttpResponder) -> None:
        """Stream to the peer on this answer from now on."""


class Endpoints:
    def __init__(self, identity: Identity, receiver: Receiver, view: ClusterView) -> None:
        self._identity = identity
        self._receiver = receiver
        self._view = view
        self._cluster = ("X-Etcd-Cluster-ID", format_id(identity.cluster_id))
        self.received_snapshots: dict[str, SnapshotTally] = {}  # by sender

    def register(self, routes: Routes) -> None:
        routes.add("POST", "/raft", self.pipeline)
        routes.add("GET", "/raft/stream/", self.stream)
        routes.add("POST", "/raft/snapshot", self.snapshot)
        routes.add("GET", "/raft/probing", self.probing)
        routes.add("GET", "/version", self.version)
        routes.add("GET", "/members", self.members)

    # Messages.

    def pipeline(self, request: HttpRequest, responder: HttpResponder) -> None:
        if self._refuse(request, responder):
            return
        self._learn_sender(request)

        def process(body: bytes) -> None:
            try:
                message = decode_message(body)
            except DecodeError:
                error(responder, 400, "error unmarshalling raft message", [self._cluster])
                return
            refusal = self.objection(message)
            if refusal is not None:
                json_error(responder, 403, refusal, [self._cluster])
                return
            self._receiver.deliver(message, len(body))
            responder.send(204, headers=[self._cluster])

        def too_large() -> None:
            error(responder, 400, "error reading raft message", [self._cluster])

        request.read_body(process, READ_LIMIT, too_large)

    def objection(self, message: Message) -> str | None:
        """Why a message must not reach raft, or None."""
        if self._receiver.is_removed(message.sender):
            return FROM_REMOVED
        if message.to != self._identity.member_id:
            return TO_ANOTHER
        return None

    # Streams.

    def stream(self, request: HttpRequest, responder: HttpResponder) -> None:
        common = [("X-Server-Version", self._identity.version), self._cluster]
        if self._refuse(request, responder, common):
            return
        kind, _, sender = request.path.removeprefix("/raft/stream/").partition("/")
        if kind not in ("message", "msgapp") or "/" in sender:
            error(responder, 404, "invalid path", common)
            return
        member_id = parse_id(sender)
        if member_id is None:
            error(responder, 404, "invalid from", common)
            return
        if self._receiver.is_removed(member_id):
            error(responder, 410, "removed member", common)
            return
        if not self._receiver.has_peer(member_id):
            # A member that joined after what we have applied, or one of another cluster with our id.
            urls = request.headers.get("x-peerurls")
            if urls:
                self._receiver.learn_remote(member_id, urls.split(","))
            error(responder, 404, "error sender not found", common)
            return
        if request.headers.get("x-raft-to") != format_id(self._identity.member_id):
            error(responder, 412, TO_MISMATCH, common)
            return
        responder.start(200, common)
        self._receiver.attach(kind, member_id, responder)

    # Snapshots.

    def snapshot(self, request: HttpRequest, responder: HttpResponder) -> None:
        if self._refuse(request, responder):
            self.snapshots_of(UNKNOWN_SENDER).failed += 1
            return
        self._learn_sender(request)
        receiving = _Receiving(self, self._receiver, request, responder, self._cluster)
        responder.on_close(receiving.lost)
        request.on_data(receiving.data)
        request.on_end(receiving.end)

    def snapshots_of(self, sender: str) -> SnapshotTally:
        return self.received_snapshots.setdefault(sender, SnapshotTally())

    # The rest.

    def probing(self, request: HttpRequest, responder: HttpResponder) -> None:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        responder.send(200, _json_line({"OK": True, "Now": now}), "text/plain; charset=utf-8")

    def version(self, request: HttpRequest, responder: HttpResponder) -> None:
        versions = {
            "etcdserver": self._identity.version,
            "etcdcluster": self._view.cluster_version() or "not_decided",
            "storage": self._view.storage_version() or "unknown",
        }
        responder.send(200, _json_line(versions).rstrip(), "application/json")

    def members(self, request: HttpRequest, responder: HttpResponder) -> None:
        members = [member.as_json() for member in self._view.members()]
        responder.send(200, _json_line(members), "application/json", [self._cluster])

    # Inside.

    def _refuse(
        self,
        request: HttpRequest,
        responder: HttpResponder,
        headers: Sequence[tuple[str, str]] | None = None,
    ) -> bool:
        reason = self._identity.refuses(request.headers)
        if reason is not None:
            error(responder, 412, reason, [self._cluster] if headers is None else headers)
        return reason is not None

    def _learn_sender(self, request: HttpRequest) -> None:
        sender = parse_id(request.headers.get("x-server-from", ""))
        urls = request.headers.get("x-peerurls")
        if sender is not None and urls:
            self._receiver.learn_remote(sender, urls.split(","))


class _Receiving:
    """One snapshot on its way in. It is answered once, by an error or by the sink's verdict."""

    def __init__(
        self,
        endpoints: Endpoints,
        receiver: Receiver,
        request: HttpRequest,
        responder: HttpResponder,
        cluster: tuple[str, str],
    ) -> None:
        self._endpoints = endpoints
        self._receiver = receiver
        self._request = request
        self._responder = responder
        self._cluster = cluster
        self._decoder = SnapshotDecoder()
        self._sink: SnapshotSink | None = None
        self._sender = UNKNOWN_SENDER
        self._began = perf_counter()
        self._over = False

    def data(self, data: bytes) -> None:
        if self._over:
            return
        try:
            database = self._decoder.feed(data)
        except (CodecError, DecodeError) as problem:
            self._fail(400, f"failed to decode raft message ({problem})")
            return
        if self._sink is None and self._decoder.message is not None:
            self._begin(self._decoder.message)
        if self._sink is not None and database:
            self._sink.write(database)

    def end(self) -> None:
        if self._over:
            return
        sink, self._sink = self._sink, None
        if sink is None:
            self._fail(400, "failed to decode raft message (unexpected EOF)")
            return
        self._over = True
        sink.finish(self._answer)

    def lost(self) -> None:
        self._over = True
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abort()
            self._tally.running -= 1
            self._tally.failed += 1

    @property
    def _tally(self) -> SnapshotTally:
        return self._endpoints.snapshots_of(self._sender)

    def _begin(self, message: Message) -> None:
        self._sender = format_id(message.sender)
        if message.type is not MessageType.SNAP or message.snapshot is None:
            self._fail(400, "wrong raft message type")
            return
        refusal = self._endpoints.objection(message)
        if refusal is not None:
            self._over = True
            json_error(self._responder, 403, refusal, [self._cluster])
            return
        self._sink = self._receiver.begin_snapshot(message)
        self._tally.running += 1

    def _answer(self, problem: str | None) -> None:
        tally = self._tally
        tally.running -= 1
        if problem is None:
            tally.done += 1
            tally.times.observe(perf_counter() - self._began)
            self._responder.send(204, headers=[self._cluster])
        else:
            tally.failed += 1
            error(self._responder, 500, f"failed to save KV snapshot ({problem})", [self._cluster])

    def _fail(self, status: int, text: str) -> None:
        self._over = True
        self._tally.failed += 1
        error(self._responder, status, text, [self._cluster])


def _json_line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
