"""What a case holds in its hands: connections to the target, and words for what is asked.

Keys: a str names a key below the case's own prefix, bytes are sent as they are. `via` names a connection:
"" is the first to the first member; "m2" is to another member; "m1/b" is a second one to the first.
Everything asked and answered is kept in `record`, so that two targets can be compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from gauntlet.harness.client import EtcdClient, Stream
from gauntlet.harness.conformance import http1
from gauntlet.harness.conformance.case import Version
from gauntlet.harness.conformance.expect import Mismatch, expect_error
from gauntlet.harness.conformance.http1 import HttpAnswer, HttpCall
from gauntlet.harness.conformance.normalise import Normaliser
from google.protobuf.message import Message

Key = str | bytes
ALL = b"\0"  # as a range's end: everything from its key on
_WAIT = 8.0  # seconds for one answer of a stream

_PATHS: dict[type[Message], str] = {}
for _path, _method in services.items():
    _PATHS.setdefault(_method.request, _path)


_RACE = "Internal error from Core"


async def open_stream(
    client: EtcdClient, path: str, *requests: Message, timeout: float | None = None
) -> Stream[Message, Message]:
    """A stream with its first requests sent.

    grpcio forgets how a call ended when the end comes while it still writes (grpc/grpc#36066). Such a call
    was refused before it did anything, so it is made again.
    """
    for _ in range(9):
        try:
            return await client.stream(path, *requests, timeout=timeout)
        except RpcError as error:
            if error.message != _RACE:
                raise
    return await client.stream(path, *requests, timeout=timeout)


def path_of(request: Message) -> str:
    """The method that takes this request; where several do, the unary one that came first."""
    return _PATHS[type(request)]


@dataclass(slots=True)
class Exchange:
    """One request and what became of it, both normalised."""

    via: str
    path: str
    request: str
    answer: str


@dataclass(slots=True)
class Place:
    """Where the members are: name to HOST:PORT, the first one first."""

    addresses: Mapping[str, str]
    version: Version
    metadata: Sequence[tuple[str, str]] = field(default_factory=tuple)
    pages: Mapping[str, str] = field(default_factory=dict)  # where HTTP/1.1 is served, if elsewhere


class Talk:
    def __init__(self, place: Place, prefix: bytes, base: int, lease_base: int) -> None:
        self.place = place
        self.version = place.version
        self.prefix = prefix
        self.base = base
        self.record: list[Exchange] = []
        self.names = Normaliser(base, prefix)
        self._clients: dict[str, EtcdClient] = {}
        self._tokens: dict[str, str] = {}
        self._lease = lease_base
        self._open: list[Watcher | Channel] = []

    # ---- where ----

    def address(self, via: str = "") -> str:
        """HOST:PORT of the member that the connection leads to."""
        member = via.split("/")[0] or next(iter(self.place.addresses))
        return self.place.addresses[member]

    def page_address(self, via: str = "") -> str:
        """HOST:PORT of the member's HTTP/1.1."""
        member = via.split("/")[0] or next(iter(self.place.addresses))
        return self.place.pages.get(member, self.place.addresses[member])

    def client(self, via: str = "") -> EtcdClient:
        if via not in self._clients:
            self._clients[via] = EtcdClient(self.address(via), metadata=self.place.metadata, timeout=10.0)
        return self._clients[via]

    def k(self, key: Key) -> bytes:
        return self.prefix + key.encode() if isinstance(key, str) else key

    def new_lease(self) -> int:
        """An id that nobody uses; the case may grant it."""
        self._lease += 1
        self.names.known_leases.add(self._lease)
        return self._lease

    # ---- any request ----

    async def call(
        self, request: Message, path: str = "", via: str = "", timeout: float | None = None
    ) -> Any:
        """The answer; RpcError when there is none. Any, because its type follows from the request's value."""
        path = path or path_of(request)
        # Entered when it is asked, not when it is answered: calls side by side keep the order of the case.
        exchange = Exchange(via, path, self.names.message(request), "no answer")
        self.record.append(exchange)
        try:
            answer: Any = await self.client(via).call(path, request, timeout=timeout)
        except RpcError as error:
            exchange.answer = self.names.outcome(error)
            raise
        if isinstance(request, pb.LeaseGrantRequest) and not request.ID:
            self.names.lease_named(answer.ID)
        exchange.answer = self.names.outcome(answer)
        return answer

    async def outcome(self, request: Message, path: str = "", via: str = "") -> Any:
        """The answer, or the error as a value."""
        try:
            return await self.call(request, path, via)
        except RpcError as error:
            return error

    async def refused(self, request: Message, error: RpcError, path: str = "", via: str = "") -> None:
        """The request must fail with just this error."""
        expect_error(type(request).__name__, await self.outcome(request, path, via), error)

    # ---- KV in few words ----

    async def put(self, key: Key, value: Key = b"", *, via: str = "", **fields: Any) -> Any:
        data = value.encode() if isinstance(value, str) else value
        return await self.call(pb.PutRequest(key=self.k(key), value=data, **fields), via=via)

    async def get(self, key: Key, end: Key = b"", *, via: str = "", **fields: Any) -> Any:
        return await self.call(self.range(key, end, **fields), via=via)

    async def delete(self, key: Key, end: Key = b"", *, via: str = "", **fields: Any) -> Any:
        request = pb.DeleteRangeRequest(key=self.k(key), range_end=self._end(end), **fields)
        return await self.call(request, via=via)

    def range(self, key: Key, end: Key = b"", **fields: Any) -> pb.RangeRequest:
        return pb.RangeRequest(key=self.k(key), range_end=self._end(end), **fields)

    def all(self, **fields: Any) -> pb.RangeRequest:
        """Everything below the prefix of the case."""
        return pb.RangeRequest(key=self.prefix, range_end=self.after, **fields)

    @property
    def after(self) -> bytes:
        """The end of the range of everything below the prefix."""
        return self.prefix[:-1] + bytes([self.prefix[-1] + 1])

    def _end(self, end: Key) -> bytes:
        return self.k(end) if end else b""

    async def txn(
        self,
        compare: Sequence[pb.Compare] = (),
        then: Sequence[pb.RequestOp] = (),
        otherwise: Sequence[pb.RequestOp] = (),
        via: str = "",
    ) -> Any:
        return await self.call(pb.TxnRequest(compare=compare, success=then, failure=otherwise), via=via)

    def op_put(self, key: Key, value: bytes = b"", **fields: Any) -> pb.RequestOp:
        return pb.RequestOp(request_put=pb.PutRequest(key=self.k(key), value=value, **fields))

    def op_get(self, key: Key, end: Key = b"", **fields: Any) -> pb.RequestOp:
        return pb.RequestOp(request_range=self.range(key, end, **fields))

    def op_delete(self, key: Key, end: Key = b"", **fields: Any) -> pb.RequestOp:
        request = pb.DeleteRangeRequest(key=self.k(key), range_end=self._end(end), **fields)
        return pb.RequestOp(request_delete_range=request)

    def op_txn(
        self,
        compare: Sequence[pb.Compare] = (),
        then: Sequence[pb.RequestOp] = (),
        otherwise: Sequence[pb.RequestOp] = (),
    ) -> pb.RequestOp:
        return pb.RequestOp(request_txn=pb.TxnRequest(compare=compare, success=then, failure=otherwise))

    async def grant(self, ttl: int = 60, via: str = "") -> int:
        """A lease with an id that the case chose."""
        lease = self.new_lease()
        await self.call(pb.LeaseGrantRequest(ID=lease, TTL=ttl), via=via)
        return lease

    async def revision(self) -> int:
        """The store's revision now."""
        answer = await self.client().range(pb.RangeRequest(key=b"\0", count_only=True))
        return answer.header.revision

    async def until_keys(self, count: int) -> None:
        """So many keys lie below the case's prefix; for what others do in their own time."""
        while True:
            answer = await self.client().range(self.all(count_only=True))
            if answer.count == count:
                return
            await asyncio.sleep(0.01)

    # ---- streams ----

    async def open(self, path: str, *requests: Message, via: str = "") -> Channel:
        """A stream of any kind; it is closed after the case."""
        stream = await open_stream(self.client(via), path, *requests)
        channel = Channel(self, stream, path, via)
        for request in requests:
            self.record.append(Exchange(via, path, self.names.message(request), "sent"))
        self._open.append(channel)
        return channel

    async def watch(self, key: Key, end: Key = b"", *, via: str = "", **fields: Any) -> Watcher:
        """A watcher on a stream of its own, after the server said that it is made."""
        watcher = Watcher(await self.open("/etcdserverpb.Watch/Watch", via=via))
        await watcher.create(self.watching(key, end, **fields))
        return watcher

    def watching(self, key: Key, end: Key = b"", **fields: Any) -> pb.WatchCreateRequest:
        return pb.WatchCreateRequest(key=self.k(key), range_end=self._end(end), **fields)

    # ---- users ----

    async def login(self, name: str, password: str, via: str) -> None:
        """The connection `via` sends this user's token from now on."""
        answer = await self.call(pb.AuthenticateRequest(name=name, password=password), via=via)
        self.client(via).token = answer.token

    # ---- HTTP ----

    async def http(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        via: str = "",
    ) -> HttpAnswer:
        answer = await http1.request(self.page_address(via), method, path, body, headers)
        shown = self.names.http(answer) if path != "/metrics" else str(answer.status)
        self.record.append(Exchange(via, f"{method} {path}", "", shown))
        return answer

    async def http_stream(self, path: str, body: bytes, via: str = "") -> HttpCall:
        """POST whose answer comes by and by; the caller closes it."""
        return await HttpCall.send(self.page_address(via), "POST", path, body)

    # ---- the end ----

    async def close(self) -> None:
        for stream in self._open:
            await stream.close()
        for client in self._clients.values():
            await client.close()


class Channel:
    """A stream whose answers go into the record."""

    def __init__(self, talk: Talk, stream: Stream[Message, Message], path: str, via: str) -> None:
        self.talk = talk
        self.path = path
        self.via = via
        self._stream = stream

    async def send(self, request: Message) -> None:
        self._note(self.talk.names.message(request), "sent")
        await self._stream.send(request)

    async def half_close(self) -> None:
        await self._stream.half_close()

    async def receive(self, timeout: float = _WAIT) -> Any:
        """The next answer, None at the end; RpcError when it ends so; a mismatch when nothing comes."""
        try:
            answer = await self.receive_quietly(timeout)
        except RpcError as error:
            self._note("", self.talk.names.outcome(error))
            raise
        self._note("", self.talk.names.outcome(answer))
        return answer

    async def receive_quietly(self, timeout: float = _WAIT) -> Any:
        """The same, but kept out of the record: for what comes in pieces that vary."""
        try:
            return await self._stream.receive(timeout)
        except TimeoutError as error:
            raise Mismatch(f"answer on {self.path}", "one", f"none within {timeout:g} s") from error

    async def error(self, timeout: float = _WAIT) -> RpcError:
        """The stream must end with an error: this one."""
        try:
            answer = await self.receive(timeout)
        except RpcError as error:
            return error
        raise Mismatch(f"end of {self.path}", "an error", self.talk.names.outcome(answer))

    def _note(self, request: str, answer: str) -> None:
        self.talk.record.append(Exchange(self.via, self.path, request, answer))

    async def close(self) -> None:
        await self._stream.close()


class Watcher:
    """A watch stream read event by event: how the server groups events into answers is its own business."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.id = 0
        self.created: Any = None
        self._events: list[tuple[int, Any]] = []

    async def create(self, request: pb.WatchCreateRequest) -> Any:
        """Sends it and returns the answer that says created; `id` is then the watcher's."""
        await self.channel.send(pb.WatchRequest(create_request=request))
        self.created = await self.answer()
        if not self.created.created:
            raise Mismatch(
                "first answer", "one that says created", self.channel.talk.names.outcome(self.created)
            )
        self.id = self.created.watch_id
        return self.created

    async def answer(self, timeout: float = _WAIT) -> Any:
        """The next answer that is not just events; events before it are kept for `event`."""
        while True:
            answer = await self._next(timeout)
            stale = answer.watch_id == -1 and not (answer.created or answer.canceled)  # of `progress`
            if not stale and (answer.created or answer.canceled or not answer.events):
                self.channel._note("", self.channel.talk.names.outcome(answer))
                return answer

    async def event(self, timeout: float = _WAIT) -> Any:
        """The next event of any watcher of the stream."""
        return (await self.event_of(timeout))[1]

    async def event_of(self, timeout: float = _WAIT) -> tuple[int, Any]:
        """The next event and the watcher it belongs to."""
        while not self._events:
            answer = await self._next(timeout)
            if answer.canceled:
                text = self.channel.talk.names.outcome(answer)
                raise Mismatch("next answer of the watch", "an event", text)
        watcher, event = self._events.pop(0)
        self.channel._note("", f"watcher {watcher}: {self.channel.talk.names.message(event)}")
        return watcher, event

    async def events_by_watcher(self, count: int) -> dict[int, list[Any]]:
        """So many events of several watchers, which the server serves in any order."""
        mark = len(self.channel.talk.record)
        found: dict[int, list[Any]] = {}
        for _ in range(count):
            watcher, event = await self.event_of()
            found.setdefault(watcher, []).append(event)
        record = self.channel.talk.record
        record[mark:] = sorted(record[mark:], key=lambda exchange: exchange.answer)
        return found

    async def events(self, count: int) -> list[Any]:
        return [await self.event() for _ in range(count)]

    async def progress(self) -> Any:
        """Asks for progress until told; every event up to that revision has then arrived.

        A stream with a watcher that still catches up does not answer, so the question is repeated.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _WAIT
        while True:
            await self.channel._stream.send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
            try:
                while True:
                    answer = await self._next(0.3)
                    if answer.watch_id == -1 and not answer.events:
                        return answer
            except Mismatch:
                if loop.time() > deadline:
                    raise

    async def quiet(self) -> None:
        """No event has come or is on its way."""
        await self.progress()
        if self._events:
            raise Mismatch("events", "none", self.channel.talk.names.outcome(self._events[0][1]))

    async def _next(self, timeout: float) -> Any:
        answer = await self.channel.receive_quietly(timeout)
        if answer is None:
            raise Mismatch("watch stream", "an answer", "the end of the stream")
        self._events += [(answer.watch_id, event) for event in answer.events]
        return answer

    async def close(self) -> None:
        await self.channel.close()
