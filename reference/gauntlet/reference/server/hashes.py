"""GET /members/hashkv on the peer port: how members compare what they store. Both ends of it.

The body and the answer are JSON with numbers as numbers; the words for a revision that cannot be hashed are
those the other side looks for.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from time import perf_counter

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.wire.http1_client import HttpClientConnection, HttpClientError, Origin
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.reference.membership import Member
from gauntlet.reference.node import Node
from gauntlet.reference.server.peers.identity import format_id
from gauntlet.reference.server.peers.routes import Routes, error

PATH = "/members/hashkv"
MAX_REQUEST = 64 * 1024
_COMPACTED = "mvcc: required revision has been compacted"
_FUTURE = "mvcc: required revision is a future revision"
_MISMATCH = "cluster ID mismatch"


@dataclass(frozen=True, slots=True)
class PeerHash:
    """What a peer answered; `error` where it has no hash, `reached` False where nobody answered."""

    member: Member
    revision: int = 0
    hash: int = 0
    compact_revision: int = 0
    error: RpcError | None = None
    reached: bool = True

    @property
    def ok(self) -> bool:
        return self.reached and self.error is None


def serve_hashes(routes: Routes, node: Node) -> None:
    own = format_id(node.config.cluster_id)

    def answer(request: HttpRequest, responder: HttpResponder) -> None:
        asked = request.headers.get("x-etcd-cluster-id", "")
        if asked and asked != own:
            error(responder, 412, _MISMATCH)
            return

        def body(data: bytes) -> None:
            try:
                revision = int(json.loads(data).get("revision", 0))
            except (ValueError, AttributeError, TypeError):
                error(responder, 400, "error unmarshalling request")
                return
            try:
                found = node.machine.store.hash_kv(revision)
            except RpcError as refusal:
                error(responder, 400, _COMPACTED if refusal == errors.COMPACTED else _FUTURE)
                return
            fields = {
                "header": {"revision": found.current_revision},
                "hash": found.hash,
                "compact_revision": found.compact_revision,
                "hash_revision": found.hash_revision,
            }
            shown = {name: value for name, value in fields.items() if value}
            text = json.dumps(shown, separators=(",", ":")).encode()
            responder.send(200, text, "application/json", [("X-Etcd-Cluster-ID", own)])

        request.read_body(body, MAX_REQUEST)

    routes.add("GET", PATH, answer)


async def ask_peers(node: Node, revision: int, tls: ssl.SSLContext | None) -> list[PeerHash]:
    """The hash at `revision` of every other member, one after the other."""
    own = node.config.member_id
    others = [member for member in node.machine.cluster.members() if member.id != own]
    return [await _ask(node, member, revision, tls) for member in others]


async def _ask(node: Node, member: Member, revision: int, tls: ssl.SSLContext | None) -> PeerHash:
    body = json.dumps({"revision": revision} if revision else {}).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Etcd-Cluster-ID": format_id(node.config.cluster_id),
    }
    deadline = perf_counter() + node.config.request_timeout
    for url in member.peer_urls:
        left = deadline - perf_counter()
        if left <= 0:
            break
        try:
            connection = await HttpClientConnection.open(Origin.parse(url), tls=tls, timeout=left)
            try:
                answer = await connection.fetch("GET", PATH, headers, body, timeout=left)
            finally:
                connection.close()
        except (HttpClientError, ValueError):
            continue
        words = answer.body.decode("utf-8", "replace")
        if answer.status == 400 and _COMPACTED in words:
            return PeerHash(member, error=errors.COMPACTED)
        if answer.status == 400 and _FUTURE in words:
            return PeerHash(member, error=errors.FUTURE_REV)
        if answer.status != 200:
            continue
        try:
            found = json.loads(words)
            return PeerHash(
                member,
                revision=int(found.get("header", {}).get("revision", 0)),
                hash=int(found.get("hash", 0)),
                compact_revision=int(found.get("compact_revision", 0)),
            )
        except (ValueError, AttributeError, TypeError):
            continue
    return PeerHash(member, reached=False)
