"""A client of one etcd member whose answers are fit to be recorded.

Rules:
1. One attempt per operation. Nothing below retries: not the channel, not a service config, not this file.
   A retry that the recorder does not see turns one operation into two.
2. One endpoint per client, on a connection that it shares with nobody, so that a fault on this link is felt
   here and nowhere else, and an answer came from the member that was asked.
3. Every unary call has a deadline. Nothing waits for a connection to come up, except `ready`.
4. A lost connection is dialed again within `RECONNECT_MS`, so that recovery measures the cluster and not
   our back-off.
5. Every failure is a `gauntlet.api.errors.RpcError`, classified definite or indefinite there. Cancelling the
   calling task is the one exception: that raises asyncio.CancelledError, and the operation is indefinite.

Importing this module sets GRPC_VERBOSITY=NONE in the environment unless it is set already: the library
underneath (grpcio) writes to stderr about every lost connection, which is what a harness makes all day.
To see it, set GRPC_VERBOSITY=ERROR (or INFO, DEBUG) before starting.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar, cast
from urllib.parse import urlsplit

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # grpcio reads it when imported, below

import grpc
import grpc.aio
from gauntlet.api.errors import Code, RpcError, classify
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from google.protobuf.message import DecodeError, Message

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

RECONNECT_MS = 200
CONNECT_MS = 2000  # a dial that has not become a connection by then is given up; room for slow links
PING_MS = 10_000  # etcd closes connections that ping more often than every 5 s
PONG_MS = 5000

CLOSED = RpcError(Code.CANCELLED, "the client is closed", definite=True)  # said before anything is sent

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # the environment's proxies are not part of the cluster
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS // 2),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),  # despite its name: how long one dial may take
    ("grpc.dns_min_time_between_resolutions_ms", RECONNECT_MS),
    ("grpc.keepalive_time_ms", PING_MS),
    ("grpc.keepalive_timeout_ms", PONG_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.primary_user_agent", "etcd-gauntlet"),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes. ca: whom to trust (None: the system's roots). certificate and key: who we are."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str | None = None  # expected in the server's certificate instead of the endpoint's host

    @classmethod
    def from_files(
        cls, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
    ) -> Tls:
        def read(path: Path | None) -> bytes | None:
            return None if path is None else path.read_bytes()

        return cls(read(ca), read(certificate), read(key))


def target(endpoint: str) -> tuple[str, bool]:
    """What grpcio calls the endpoint, and whether it asks for TLS.

    Accepts `host:port`, `http://host:port`, `https://host:port`, `unix:///path`, `unixs:///path`.
    """
    url = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    if url.scheme in ("unix", "unixs"):
        if not (url.netloc or url.path):
            raise ValueError(f"not an endpoint: {endpoint!r} names no socket")
        return f"unix:{url.netloc}{url.path}", url.scheme == "unixs"
    if url.scheme not in ("http", "https"):
        raise ValueError(f"not an endpoint: {endpoint!r} (scheme {url.scheme!r} is not http, https or unix)")
    if not url.hostname or url.port is None or url.path not in ("", "/") or url.query or url.username:
        raise ValueError(f"not an endpoint: {endpoint!r} is not host:port")
    try:
        address = ipaddress.ip_address(url.hostname)
    except ValueError:
        return f"dns:///{url.hostname}:{url.port}", url.scheme == "https"
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"ipv{address.version}:{host}:{url.port}", url.scheme == "https"


def _translate(error: grpc.aio.AioRpcError, path: str) -> RpcError:
    return classify(error.code().value[0], error.details() or "", path)


def _parse(kind: type[Response], data: bytes) -> Response:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        # An answer came, so the operation may well have happened.
        raise RpcError(Code.INTERNAL, f"the answer is not a {kind.__name__}: {error}") from error


def _being_cancelled() -> bool:
    """Is it the calling task that is cancelled, rather than the call under it?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Stream(Generic[Request, Response]):
    """A streaming call. Iterate over it for the answers; it ends when the server ends it with OK.

    One task may send while another receives; two must not receive at once.
    """

    def __init__(self, call: grpc.aio.StreamStreamCall, path: str, response: type[Response]) -> None:
        self._call = call
        self._path = path
        self._response = response
        self._reading: asyncio.Task[object] | None = None

    async def send(self, request: Request) -> None:
        """Returns when the request has been handed to the transport. RpcError when the call has ended."""
        try:
            await self._call.write(request.SerializeToString())
        except grpc.aio.AioRpcError as error:
            raise _translate(error, self._path) from error
        except asyncio.InvalidStateError as error:
            raise await self._ending() from error
        except asyncio.CancelledError as error:
            if _being_cancelled():
                raise
            raise RpcError(Code.CANCELLED, "the stream is closed") from error

    async def half_close(self) -> None:
        """Tell the server that nothing more will be sent."""
        try:
            await self._call.done_writing()
        except asyncio.InvalidStateError:
            return  # it has ended already; receive tells how

    async def receive(self, timeout: float | None = None) -> Response | None:
        """The next answer, or None when the server has ended the call with OK.

        timeout: seconds; TimeoutError when they pass, and then nothing is lost: the next receive goes on.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        done, _ = await asyncio.wait({self._reading}, timeout=timeout)
        if not done:
            raise TimeoutError(f"no answer on {self._path} within {timeout} s")
        reading, self._reading = self._reading, None
        if reading.cancelled():
            raise RpcError(Code.CANCELLED, "the stream is closed")
        try:
            data = reading.result()
        except grpc.aio.AioRpcError as error:
            raise _translate(error, self._path) from error
        return None if data is grpc.aio.EOF else _parse(self._response, cast(bytes, data))

    async def close(self) -> None:
        """Cancel the call, if it is still going on. Safe to call twice."""
        self._call.cancel()
        reading, self._reading = self._reading, None
        if reading is not None:
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()  # looked at, so that asyncio does not report it as forgotten

    async def _ending(self) -> RpcError:
        code = (await self._call.code()).value[0]
        if code == Code.OK:
            return RpcError(Code.CANCELLED, "the server has ended the stream")
        return classify(code, await self._call.details() or "", self._path)

    def __aiter__(self) -> AsyncIterator[Response]:
        return self

    async def __anext__(self) -> Response:
        response = await self.receive()
        if response is None:
            raise StopAsyncIteration
        return response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Connection:
    """One channel to one endpoint, and calls by path."""

    def __init__(
        self,
        endpoint: str,
        *,
        tls: Tls | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float = 5.0,
    ) -> None:
        """Must be made inside a running event loop. Dials at the first call.

        tls: given, or an https endpoint: the connection is encrypted.
        metadata: sent with every call.
        timeout: seconds a unary call may take where the call does not say.
        """
        self.endpoint = endpoint
        self.timeout = timeout
        self.metadata = tuple(metadata)
        self.token: str | None = None  # set by authenticate
        name, encrypted = target(endpoint)
        options = list(_OPTIONS)
        if tls is not None or encrypted:
            tls = tls or Tls()
            if tls.server_name:
                options.append(("grpc.ssl_target_name_override", tls.server_name))
            credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
            self._channel = grpc.aio.secure_channel(name, credentials, options)
        else:
            self._channel = grpc.aio.insecure_channel(name, options)
        self._unary: dict[str, grpc.aio.UnaryUnaryMultiCallable] = {}
        self._closed = False

    async def ready(self, timeout: float) -> None:
        """Wait until the connection stands. TimeoutError when it does not within `timeout` seconds."""
        if self._closed:
            raise CLOSED.fresh()
        async with asyncio.timeout(timeout):
            await self._channel.channel_ready()

    async def call(self, path: str, request: Message, *, timeout: float | None = None) -> Message:
        """One attempt at a unary call, e.g. path "/etcdserverpb.KV/Put". RpcError when it fails."""
        method = services.get(path)
        if method is None or not method.unary:
            raise ValueError(f"{path!r} is not a unary method")
        if not isinstance(request, method.request):
            raise TypeError(f"{path} takes a {method.request.__name__}, not a {type(request).__name__}")
        if self._closed:
            raise CLOSED.fresh()
        stub = self._unary.get(path)
        if stub is None:
            stub = self._unary[path] = self._channel.unary_unary(path)
        try:
            data = await stub(
                request.SerializeToString(),
                timeout=self.timeout if timeout is None else timeout,
                metadata=self._headers(),
                wait_for_ready=False,
            )
        except grpc.aio.AioRpcError as error:
            raise _translate(error, path) from error
        except asyncio.CancelledError as error:
            if not self._closed or _being_cancelled():
                raise
            raise RpcError(Code.CANCELLED, "the client was closed during the call") from error
        return _parse(method.response, data)

    async def stream(
        self, path: str, *requests: Message, timeout: float | None = None
    ) -> Stream[Message, Message]:
        """Open a streaming call and send the first requests.

        Where the server takes a single request, give exactly that one; the sending side is then closed.
        timeout: seconds for the whole of the stream; None: no limit.
        """
        method = services.get(path)
        if method is None or method.unary:
            raise ValueError(f"{path!r} is not a streaming method")
        for request in requests:
            if not isinstance(request, method.request):
                raise TypeError(f"{path} takes a {method.request.__name__}, not a {type(request).__name__}")
        if not method.client_streaming and len(requests) != 1:
            raise TypeError(f"{path} takes exactly one request")
        if self._closed:
            raise CLOSED.fresh()
        # On the wire one request followed by a half-close is what a server-streaming call is.
        call = self._channel.stream_stream(path)(
            timeout=timeout, metadata=self._headers(), wait_for_ready=False
        )
        stream: Stream[Message, Message] = Stream(call, path, method.response)
        try:
            for request in requests:
                await stream.send(request)
            if not method.client_streaming:
                await stream.half_close()
        except BaseException:
            await stream.close()
            raise
        return stream

    async def close(self) -> None:
        """Cancel what is under way and close the connection. Safe to call twice."""
        if not self._closed:
            self._closed = True
            await self._channel.close()

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return self.metadata if self.token is None else (*self.metadata, ("token", self.token))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class EtcdClient(Connection):
    """etcd's operations by name. What is not here is reached through `call` and `stream`.

    Every method makes one attempt; `timeout` is in seconds, None for the client's own.
    """

    async def _do(self, path: str, request: Message, kind: type[Response], timeout: float | None) -> Response:
        response = await self.call(path, request, timeout=timeout)
        assert isinstance(response, kind), f"{path} answers with {type(response).__name__}"
        return response

    # ---- KV ----

    async def get(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        revision: int = 0,
        limit: int = 0,
        serializable: bool = False,
        timeout: float | None = None,
    ) -> pb.RangeResponse:
        request = pb.RangeRequest(
            key=key, range_end=range_end, revision=revision, limit=limit, serializable=serializable
        )
        return await self.range(request, timeout=timeout)

    async def range(self, request: pb.RangeRequest, *, timeout: float | None = None) -> pb.RangeResponse:
        return await self._do("/etcdserverpb.KV/Range", request, pb.RangeResponse, timeout)

    async def put(
        self, key: bytes, value: bytes, *, lease: int = 0, prev_kv: bool = False, timeout: float | None = None
    ) -> pb.PutResponse:
        request = pb.PutRequest(key=key, value=value, lease=lease, prev_kv=prev_kv)
        return await self._do("/etcdserverpb.KV/Put", request, pb.PutResponse, timeout)

    async def delete(
        self, key: bytes, range_end: bytes = b"", *, prev_kv: bool = False, timeout: float | None = None
    ) -> pb.DeleteRangeResponse:
        request = pb.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=prev_kv)
        return await self._do("/etcdserverpb.KV/DeleteRange", request, pb.DeleteRangeResponse, timeout)

    async def txn(
        self,
        compare: Iterable[pb.Compare] = (),
        success: Iterable[pb.RequestOp] = (),
        failure: Iterable[pb.RequestOp] = (),
        *,
        timeout: float | None = None,
    ) -> pb.TxnResponse:
        request = pb.TxnRequest(compare=compare, success=success, failure=failure)
        return await self._do("/etcdserverpb.KV/Txn", request, pb.TxnResponse, timeout)

    async def compact(
        self, revision: int, *, physical: bool = False, timeout: float | None = None
    ) -> pb.CompactionResponse:
        request = pb.CompactionRequest(revision=revision, physical=physical)
        return await self._do("/etcdserverpb.KV/Compact", request, pb.CompactionResponse, timeout)

    # ---- Watch ----

    async def watch(self, *requests: pb.WatchRequest) -> Stream[pb.WatchRequest, pb.WatchResponse]:
        """A watch stream; more watchers can be made, and made to end, with its `send`."""
        stream = await self.stream("/etcdserverpb.Watch/Watch", *requests)
        return cast("Stream[pb.WatchRequest, pb.WatchResponse]", stream)

    # ---- Lease ----

    async def lease_grant(
        self, ttl: int, lease: int = 0, *, timeout: float | None = None
    ) -> pb.LeaseGrantResponse:
        request = pb.LeaseGrantRequest(TTL=ttl, ID=lease)
        return await self._do("/etcdserverpb.Lease/LeaseGrant", request, pb.LeaseGrantResponse, timeout)

    async def lease_revoke(self, lease: int, *, timeout: float | None = None) -> pb.LeaseRevokeResponse:
        request = pb.LeaseRevokeRequest(ID=lease)
        return await self._do("/etcdserverpb.Lease/LeaseRevoke", request, pb.LeaseRevokeResponse, timeout)

    async def lease_keep_alive(
        self, *leases: int
    ) -> Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]:
        """A keep-alive stream; every request renews one lease once, and is answered once."""
        requests = [pb.LeaseKeepAliveRequest(ID=lease) for lease in leases]
        stream = await self.stream("/etcdserverpb.Lease/LeaseKeepAlive", *requests)
        return cast("Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]", stream)

    async def lease_time_to_live(
        self, lease: int, *, keys: bool = False, timeout: float | None = None
    ) -> pb.LeaseTimeToLiveResponse:
        request = pb.LeaseTimeToLiveRequest(ID=lease, keys=keys)
        return await self._do(
            "/etcdserverpb.Lease/LeaseTimeToLive", request, pb.LeaseTimeToLiveResponse, timeout
        )

    async def leases(self, *, timeout: float | None = None) -> pb.LeaseLeasesResponse:
        request = pb.LeaseLeasesRequest()
        return await self._do("/etcdserverpb.Lease/LeaseLeases", request, pb.LeaseLeasesResponse, timeout)

    # ---- Cluster ----

    async def member_list(
        self, *, linearizable: bool = True, timeout: float | None = None
    ) -> pb.MemberListResponse:
        request = pb.MemberListRequest(linearizable=linearizable)
        return await self._do("/etcdserverpb.Cluster/MemberList", request, pb.MemberListResponse, timeout)

    async def member_add(
        self, peer_urls: Iterable[str], *, learner: bool = False, timeout: float | None = None
    ) -> pb.MemberAddResponse:
        request = pb.MemberAddRequest(peerURLs=peer_urls, isLearner=learner)
        return await self._do("/etcdserverpb.Cluster/MemberAdd", request, pb.MemberAddResponse, timeout)

    async def member_remove(self, member: int, *, timeout: float | None = None) -> pb.MemberRemoveResponse:
        request = pb.MemberRemoveRequest(ID=member)
        return await self._do("/etcdserverpb.Cluster/MemberRemove", request, pb.MemberRemoveResponse, timeout)

    async def member_update(
        self, member: int, peer_urls: Iterable[str], *, timeout: float | None = None
    ) -> pb.MemberUpdateResponse:
        request = pb.MemberUpdateRequest(ID=member, peerURLs=peer_urls)
        return await self._do("/etcdserverpb.Cluster/MemberUpdate", request, pb.MemberUpdateResponse, timeout)

    async def member_promote(self, member: int, *, timeout: float | None = None) -> pb.MemberPromoteResponse:
        request = pb.MemberPromoteRequest(ID=member)
        return await self._do(
            "/etcdserverpb.Cluster/MemberPromote", request, pb.MemberPromoteResponse, timeout
        )

    # ---- Maintenance ----

    async def status(self, *, timeout: float | None = None) -> pb.StatusResponse:
        return await self._do(
            "/etcdserverpb.Maintenance/Status", pb.StatusRequest(), pb.StatusResponse, timeout
        )

    async def hash_kv(self, revision: int = 0, *, timeout: float | None = None) -> pb.HashKVResponse:
        request = pb.HashKVRequest(revision=revision)
        return await self._do("/etcdserverpb.Maintenance/HashKV", request, pb.HashKVResponse, timeout)

    async def alarm(
        self,
        action: int = pb.AlarmRequest.GET,
        alarm: int = pb.NONE,
        member: int = 0,
        *,
        timeout: float | None = None,
    ) -> pb.AlarmResponse:
        request = pb.AlarmRequest(action=action, memberID=member, alarm=alarm)
        return await self._do("/etcdserverpb.Maintenance/Alarm", request, pb.AlarmResponse, timeout)

    async def move_leader(self, member: int, *, timeout: float | None = None) -> pb.MoveLeaderResponse:
        """Works only when this client's member is the leader."""
        request = pb.MoveLeaderRequest(targetID=member)
        return await self._do("/etcdserverpb.Maintenance/MoveLeader", request, pb.MoveLeaderResponse, timeout)

    async def defragment(self, *, timeout: float | None = None) -> pb.DefragmentResponse:
        request = pb.DefragmentRequest()
        return await self._do("/etcdserverpb.Maintenance/Defragment", request, pb.DefragmentResponse, timeout)

    async def snapshot(self, *, timeout: float | None = None) -> Stream[Message, pb.SnapshotResponse]:
        """The member's database in pieces, followed by its sha256."""
        stream = await self.stream(
            "/etcdserverpb.Maintenance/Snapshot", pb.SnapshotRequest(), timeout=timeout
        )
        return cast("Stream[Message, pb.SnapshotResponse]", stream)

    # ---- Auth ----

    async def authenticate(
        self, name: str, password: str, *, timeout: float | None = None
    ) -> pb.AuthenticateResponse:
        """Log in; later calls of this client carry the token."""
        request = pb.AuthenticateRequest(name=name, password=password)
        response = await self._do(
            "/etcdserverpb.Auth/Authenticate", request, pb.AuthenticateResponse, timeout
        )
        self.token = response.token
        return response
