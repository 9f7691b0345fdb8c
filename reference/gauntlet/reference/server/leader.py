"""What members ask of the leader over the peer port beside raft: renewing leases, looking them up, and
promoting learners.

Rules (etcd's lease forwarding): a follower asks the leader's peer URLs one after the other, again and again
while there is a leader to ask, until it answers, says that there is no such lease, or the request times out.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import leasepb
from gauntlet.api.wire.http1_client import HttpClientError, HttpClientPool, HttpResponse
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.reference.node import Node
from gauntlet.reference.server.cluster_pages import PROMOTE, read_promoted
from gauntlet.reference.server.peers.routes import Routes, error
from gauntlet.reference.services.cluster import Promoted
from gauntlet.reference.services.lease import LeaseService, LookedUp, Renewed

RENEW, LOOK_UP = "/leases", "/leases/internal"
MAX_REQUEST = 64 * 1024
# Between two attempts, in seconds.
PAUSE = 0.05
ATTEMPT_TIMEOUT = 5.0
PROTOBUF = "application/protobuf"


class LeaderClient:
    """Implements services.lease.LeaderLeases and services.cluster.LeaderMembers over HTTP."""

    def __init__(
        self, node: Node, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self._node = node
        self._loop = loop
        self._pools: dict[str, HttpClientPool] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def renew(self, lease_id: int, then: Renewed) -> None:
        body = pb.LeaseKeepAliveRequest(ID=lease_id).SerializeToString()

        def decode(data: bytes) -> int:
            return pb.LeaseKeepAliveResponse.FromString(data).TTL

        self._ask_lease(RENEW, body, decode, then)

    def time_to_live(self, request: pb.LeaseTimeToLiveRequest, then: LookedUp) -> None:
        body = leasepb.LeaseInternalRequest(LeaseTimeToLiveRequest=request).SerializeToString()

        def decode(data: bytes) -> pb.LeaseTimeToLiveResponse:
            return leasepb.LeaseInternalResponse.FromString(data).LeaseTimeToLiveResponse

        self._ask_lease(LOOK_UP, body, decode, then)

    def promote(self, member_id: int, token: str | None, then: Promoted) -> None:
        headers = {} if token is None else {"Authorization": token}
        path = f"{PROMOTE}{member_id}"
        self._spawn(self._ask(path, headers, b"", math.inf, read_promoted, then))

    def _ask_lease(
        self, path: str, body: bytes, decode: Callable[[bytes], Any], then: Callable[[Any], None]
    ) -> None:
        def read(answer: HttpResponse) -> Any:
            if answer.status == 404:
                return errors.LEASE_NOT_FOUND
            return decode(answer.body) if answer.status == 200 else None

        headers = {"Content-Type": PROTOBUF}
        self._spawn(self._ask(path, headers, body, ATTEMPT_TIMEOUT, read, then))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for pool in self._pools.values():
            pool.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(
        self,
        path: str,
        headers: dict[str, str],
        body: bytes,
        attempt: float,
        read: Callable[[HttpResponse], Any],
        then: Callable[[Any], None],
    ) -> None:
        """Asks until `read` makes something of an answer (None: ask again); `attempt` bounds one try, in
        seconds."""
        deadline = self._loop.time() + self._node.config.request_timeout
        try:
            while (left := deadline - self._loop.time()) > 0:
                for url in self._leader_urls():
                    answer = await self._fetch(url, path, headers, body, min(left, attempt))
                    result = None if answer is None else read(answer)
                    if result is not None:
                        then(result)
                        return
                await asyncio.sleep(PAUSE)
            then(errors.TIMEOUT)
        except asyncio.CancelledError:
            then(errors.STOPPED)
            raise

    def _leader_urls(self) -> list[str]:
        member = self._node.machine.cluster.member(self._node.leader)
        return [] if member is None else member.peer_urls

    async def _fetch(
        self, url: str, path: str, headers: dict[str, str], body: bytes, timeout: float
    ) -> HttpResponse | None:
        pool = self._pools.get(url)
        if pool is None:
            pool = self._pools[url] = HttpClientPool(url, tls=self._tls)
        try:
            return await pool.fetch("POST", path, headers, body, timeout=timeout)
        except HttpClientError:
            return None


def serve_leases(routes: Routes, leases: LeaseService) -> None:
    """Answers the other members' questions about leases."""

    def respond(responder: HttpResponder, result: Any, encode: Callable[[Any], bytes]) -> None:
        if not isinstance(result, RpcError):
            responder.send(200, encode(result), PROTOBUF)
        elif result == errors.LEASE_NOT_FOUND:
            error(responder, 404, "requested lease not found")
        else:
            error(responder, 400, result.message)

    def renew(request: HttpRequest, responder: HttpResponder) -> None:
        def body(data: bytes) -> None:
            lease_id = pb.LeaseKeepAliveRequest.FromString(data).ID

            def encode(ttl: int) -> bytes:
                return pb.LeaseKeepAliveResponse(ID=lease_id, TTL=ttl).SerializeToString()

            leases.local_renew(lease_id, lambda result: respond(responder, result, encode))

        _whole(request, responder, body)

    def look_up(request: HttpRequest, responder: HttpResponder) -> None:
        def encode(found: pb.LeaseTimeToLiveResponse) -> bytes:
            return leasepb.LeaseInternalResponse(LeaseTimeToLiveResponse=found).SerializeToString()

        def body(data: bytes) -> None:
            asked = leasepb.LeaseInternalRequest.FromString(data).LeaseTimeToLiveRequest
            leases.local_time_to_live(asked, lambda result: respond(responder, result, encode))

        _whole(request, responder, body)

    routes.add("POST", RENEW, renew)
    routes.add("POST", LOOK_UP, look_up)


def _whole(request: HttpRequest, responder: HttpResponder, then: Callable[[bytes], None]) -> None:
    def guarded(data: bytes) -> None:
        try:
            then(data)
        except ValueError:
            error(responder, 400, "error unmarshalling request")

    request.read_body(guarded, MAX_REQUEST)
