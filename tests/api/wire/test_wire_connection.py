"""The connection's state machine, fed with bytes and asked for bytes: no socket, no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire import frames
from gauntlet.api.wire.connection import Connection
from gauntlet.api.wire.deadlines import Deadlines
from gauntlet.api.wire.frames import ErrorCode
from gauntlet.api.wire.grpc import Dispatcher
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.streams import ALLOWANCE, LINGERING
from hypothesis import given, settings
from hypothesis import strategies as st

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"


class Pair:
    """A connection in memory and the client at its other end."""

    def __init__(self, service: Any, client: Any, limits: Limits | None = None) -> None:
        self.service = service()
        self.client = client()
        self.limits = limits or Limits()
        self.now = 100.0
        self.deadlines = Deadlines(lambda when: None)
        dispatcher = Dispatcher(
            self.service.methods(), None, self.limits, self.deadlines, lambda connection: ("peer", str)
        )
        self.connection = Connection(dispatcher.accept, lambda: None, self.limits)
        self.connection.start(self.now)

    def send(self, *data: bytes) -> list[tuple[int, int, int, Any]]:
        self.connection.receive(b"".join(data), self.now)
        return self.take()

    def take(self) -> list[tuple[int, int, int, Any]]:
        output = self.connection.take()
        self.connection.refill()
        while more := self.connection.take():
            output += more
            self.connection.refill()
        return list(self.client.read(output))

    def open(self, settings: list[tuple[int, int]] | None = None) -> None:
        self.send(self.client.opening(settings))


@pytest.fixture
def make_pair(echo_service: Any, frame_clients: Any) -> Callable[..., Pair]:
    def make(limits: Limits | None = None) -> Pair:
        return Pair(echo_service, frame_clients, limits)

    return make


@pytest.fixture
def pair(make_pair: Callable[..., Pair]) -> Pair:
    made = make_pair()
    made.open()
    return made


def put(key: bytes = b"k", value: bytes = b"v") -> Any:
    return pb.PutRequest(key=key, value=value)


def codes(seen: list[tuple[int, int, int, Any]], kind: int) -> list[int]:
    """The error codes of the RST_STREAM or GOAWAY frames in what was seen."""
    start = 0 if kind == frames.RST_STREAM else 4
    return [int.from_bytes(payload[start : start + 4], "big") for k, _, _, payload in seen if k == kind]


def test_a_unary_call_is_three_frames(pair: Pair) -> None:
    client = pair.client
    seen = pair.send(client.request(1), client.message(1, put(b"a", b"b")))
    assert [(kind, flags, stream_id) for kind, flags, stream_id, _ in seen] == [
        (frames.HEADERS, frames.END_HEADERS, 1),
        (frames.DATA, 0, 1),
        (frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1),
    ]
    assert seen[0][3] == {":status": "200", "content-type": "application/grpc"}
    assert seen[2][3] == {"grpc-status": "0"}
    response = pb.PutResponse.FromString(seen[1][3][5:])
    assert (response.prev_kv.key, response.prev_kv.value) == (b"a", b"b")
    assert not pair.connection.streams


def test_the_opening(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(Limits(max_concurrent_streams=7))
    seen = pair.take()
    assert [kind for kind, *_ in seen] == [frames.SETTINGS, frames.WINDOW_UPDATE]
    assert (3, 7) in frames.parse_settings(seen[0][3])
    assert pair.send(pair.client.opening()) == [(frames.SETTINGS, frames.ACK, 0, b"")]


SCRIPTS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 40_000)),
        st.tuples(st.just("watch"), st.integers(1, 5)),
        st.tuples(st.just("unknown"), st.integers(0, 3)),
        st.tuples(st.just("reset"), st.integers(0, 3)),
        st.tuples(st.just("ping"), st.integers(0, 3)),
        st.tuples(st.just("garbage"), st.integers(0, 255)),
        st.tuples(st.just("window"), st.integers(1, 100_000)),
    ),
    max_size=8,
)


def script_bytes(client: Any, script: list[tuple[str, int]]) -> bytes:
    data = client.opening([(4, 20_000)])
    stream_id = 1
    for name, number in script:
        if name == "put":
            message = client.message(stream_id, put(b"k", b"v" * number))
            payload = message[frames.HEADER_SIZE :]
            data += client.request(stream_id)
            pieces = [payload[i : i + 16_000] for i in range(0, len(payload), 16_000)]
            for index, piece in enumerate(pieces):
                end = frames.END_STREAM if index == len(pieces) - 1 else 0
                data += frames.frame(frames.DATA, end, stream_id, piece)
        elif name == "watch":
            data += client.request(stream_id, WATCH)
            for watch_id in range(number):
                request = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"w", watch_id=watch_id))
                data += client.message(stream_id, request, end=False)
        elif name == "unknown":
            data += client.request(stream_id, "/no.Such/Thing", end=True)
        elif name == "reset":
            data += client.request(stream_id, RANGE) + frames.rst_stream(stream_id, ErrorCode.CANCEL)
        elif name == "ping":
            data += frames.ping(bytes(8))
        elif name == "window":
            data += frames.window_update(0, number)
        else:
            data += frames.frame(number, 0, 0, b"garbage")
        stream_id += 2
    return data


@settings(max_examples=60, deadline=None)
@given(script=SCRIPTS, cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=20))
def test_the_cuts_in_the_input_do_not_matter(
    echo_service: Any, frame_clients: Any, script: list[tuple[str, int]], cuts: list[int]
) -> None:
    data = script_bytes(frame_clients(), script)
    whole, cut = Pair(echo_service, frame_clients), Pair(echo_service, frame_clients)
    expected = whole.connection
    expected.receive(data, 100.0)
    position = turn = 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        cut.connection.receive(data[position : position + size], 100.0)
        position += size
        turn += 1
    assert cut.connection.take() == expected.take()
    assert cut.connection.closing == expected.closing
    assert set(cut.connection.streams) == set(expected.streams)
    assert len(cut.service.cancelled) == len(whole.service.cancelled)


FRAMES = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from([0, 1, 4, 5, 8, 13, 0x20, 0x25, 0xFF]),
        st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 0x7FFFFFFF]),
        st.one_of(
            st.binary(max_size=40), st.just(b"\0\0\0\0\x02\x0a\0"), st.just(bytes(4)), st.just(bytes(8))
        ),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), FRAMES))
def test_no_input_raises(echo_service: Any, frame_clients: Any, hostile: Any) -> None:
    pair = Pair(echo_service, frame_clients)
    pair.open()
    pair.send(pair.client.request(1, WATCH), pair.client.request(3, RANGE))
    if isinstance(hostile, bytes):
        pair.send(hostile)
    else:
        for kind, flags, stream_id, payload in hostile:
            pair.connection.receive(frames.frame(kind, flags, stream_id, payload), 100.0)
    assert pair.connection.backlog >= 0
    assert pair.connection.partial_bytes >= 0
    pair.connection.lose_all()
    assert pair.connection.backlog == pair.connection.partial_bytes == 0
    assert not pair.connection.waiting


# Flow control of what we send.


def test_an_answer_larger_than_the_window_waits(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.open([(4, 10)])
    client = pair.client
    seen = pair.send(client.request(1), client.message(1, put(b"k", b"v" * 100)))
    assert [kind for kind, *_ in seen] == [frames.HEADERS, frames.DATA]
    assert len(seen[1][3]) == 10
    body = seen[1][3]
    seen = pair.send(frames.window_update(1, 7))
    assert [len(payload) for *_, payload in seen] == [7]
    body += seen[0][3]
    seen = pair.send(frames.settings([(4, 1000)]))
    assert [kind for kind, *_ in seen] == [frames.SETTINGS, frames.DATA, frames.HEADERS]
    body += seen[1][3]
    assert pb.PutResponse.FromString(body[5:]).prev_kv.value == b"v" * 100


def test_a_window_may_become_negative(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.open([(4, 50)])
    client = pair.client
    pair.send(client.request(1), client.message(1, put(b"k", b"v" * 100)))
    assert pair.send(frames.settings([(4, 20)])) == [(frames.SETTINGS, frames.ACK, 0, b"")]
    assert pair.connection.streams[1].send_window == -30
    assert pair.send(frames.window_update(1, 30)) == []
    assert [len(payload) for *_, payload in pair.send(frames.window_update(1, 1))] == [1]


def test_streams_take_turns(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    pair.open([(4, 1 << 20)])
    client = pair.client
    data = [client.request(1) + client.message(1, put(b"k", b"a" * 16_000))]
    pair.connection.throttle()
    for stream_id in (3, 5):
        data.append(client.request(stream_id, SNAPSHOT, [("blobs", "5")]))
        data.append(client.message(stream_id, pb.SnapshotRequest()))
    pair.connection.receive(b"".join(data), 100.0)
    pair.connection.take()
    pair.connection.refill()
    order = [stream_id for kind, _, stream_id, _ in pair.client.read(pair.connection.take()) if kind == 0]
    assert order == [1, 3, 5, 3, 5]  # then the connection's window is used up


def test_a_full_socket_keeps_data_in_its_streams(pair: Pair) -> None:
    client = pair.client
    pair.connection.throttle()
    pair.connection.receive(client.request(1) + client.message(1, put(b"k", b"v" * 1000)), 100.0)
    assert [kind for kind, *_ in client.read(pair.connection.take())] == [frames.HEADERS]
    assert pair.connection.backlog > 1000
    assert [kind for kind, *_ in pair.take()] == [frames.DATA, frames.HEADERS]
    assert pair.connection.backlog == 0


def test_a_snapshot_follows_its_reader(pair: Pair) -> None:
    client = pair.client
    pair.send(client.request(1, SNAPSHOT, [("blobs", "100")]), client.message(1, pb.SnapshotRequest()))
    assert pair.service.snapshots_left[-1] > 50  # it stopped early: the window is 65,535 bytes
    received = turns = 0
    while pair.connection.streams:
        seen = pair.send(frames.window_update(0, 30_000), frames.window_update(1, 30_000))
        received += sum(len(payload) for kind, _, _, payload in seen if kind == frames.DATA)
        assert pair.connection.backlog <= 200_000
        turns += 1
        assert turns < 100
    assert received > 900_000


def test_new_calls_are_refused_while_answers_are_not_taken(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(Limits(backlog_bytes=1000))
    pair.open([(4, 0)])
    client = pair.client
    pair.send(client.request(1), client.message(1, put(b"k", b"v" * 2000)))
    seen = pair.send(client.request(3), client.message(3, put()))
    assert codes(seen, frames.RST_STREAM) == [ErrorCode.ENHANCE_YOUR_CALM]
    seen = pair.send(frames.window_update(1, 5000), client.request(5), client.message(5, put()))
    assert [stream_id for kind, _, stream_id, _ in seen if kind == frames.HEADERS] == [1, 5]


# Flow control of what we receive.


def test_windows_are_opened_again_in_large_steps(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(Limits(stream_window=100_000, connection_window=300_000))
    pair.open()
    client = pair.client
    pair.send(client.request(1))
    updates: list[tuple[int, int]] = []
    body = b"\0" + (400_000).to_bytes(4, "big") + bytes(400_000)
    for start in range(0, 400_000, 10_000):
        for kind, _, stream_id, payload in pair.send(
            frames.frame(frames.DATA, 0, 1, body[start : start + 10_000])
        ):
            assert kind == frames.WINDOW_UPDATE
            updates.append((stream_id, int.from_bytes(payload, "big")))
    assert [update for update in updates if update[0] == 1] == [(1, 50_000)] * 8
    assert [update for update in updates if update[0] == 0] == [(0, 160_000)] * 2


def test_more_data_than_the_window_is_refused(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(Limits(stream_window=65_535))
    pair.open()
    pair.send(pair.client.request(1, WATCH))
    pair.connection.streams[1].held = True
    chunk = frames.frame(frames.DATA, 0, 1, bytes(16_000))
    seen = pair.send(chunk * 5)
    assert codes(seen, frames.RST_STREAM) == [ErrorCode.FLOW_CONTROL_ERROR]
    assert pair.service.cancelled == ["watch"]


def test_unfinished_messages_are_bounded(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(Limits(partial_bytes=50_000))
    pair.open()
    part = b"\0" + (100_000).to_bytes(4, "big") + bytes(15_000)
    seen = []
    for stream_id in range(1, 11, 2):
        seen += pair.send(pair.client.request(stream_id), frames.frame(frames.DATA, 0, stream_id, part))
    refused = [fields["grpc-status"] for kind, _, _, fields in seen if kind == frames.HEADERS]
    assert refused == ["8", "8"]
    assert pair.connection.partial_bytes == 45_015


# Streams and their ends.


def test_trailers_before_the_end_of_the_request_linger(pair: Pair) -> None:
    client = pair.client
    seen = pair.send(client.request(1), client.message(1, put(), end=False))
    assert [kind for kind, *_ in seen] == [frames.HEADERS, frames.DATA, frames.HEADERS]
    assert pair.connection.lingering == {1: False}
    assert pair.send(frames.frame(frames.DATA, 1, 1)) == []
    assert not pair.connection.lingering
    assert codes(pair.send(frames.frame(frames.DATA, 0, 1, b"x")), frames.RST_STREAM) == [
        ErrorCode.STREAM_CLOSED
    ]


def test_lingering_is_bounded(pair: Pair) -> None:
    client = pair.client
    seen = []
    for number in range(LINGERING + 10):
        stream_id = 2 * number + 1
        seen += pair.send(client.request(stream_id), client.message(stream_id, put(), end=False))
    assert codes(seen, frames.RST_STREAM) == [ErrorCode.NO_ERROR] * 10
    assert len(pair.connection.lingering) == LINGERING


def test_too_many_streams_are_refused(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(Limits(max_concurrent_streams=2))
    pair.open()
    seen = pair.send(*(pair.client.request(stream_id, RANGE) for stream_id in (1, 3, 5)))
    assert [(kind, stream_id) for kind, _, stream_id, _ in seen] == [(frames.RST_STREAM, 5)]
    assert codes(seen, frames.RST_STREAM) == [ErrorCode.REFUSED_STREAM]


def test_numbers_that_were_passed_over_stay_closed(pair: Pair) -> None:
    pair.send(pair.client.request(9, RANGE))
    seen = pair.send(pair.client.request(5, RANGE))
    assert codes(seen, frames.GOAWAY) == [ErrorCode.PROTOCOL_ERROR]


def test_a_second_head_of_a_finished_stream(pair: Pair) -> None:
    client = pair.client
    pair.send(client.request(1), client.message(1, put()))
    assert codes(pair.send(client.request(1)), frames.GOAWAY) == [ErrorCode.STREAM_CLOSED]


def test_a_reset_cancels_and_later_answers_are_dropped(pair: Pair) -> None:
    client = pair.client
    pair.send(client.request(1, RANGE), client.message(1, pb.RangeRequest(key=b"k")))
    pair.send(frames.rst_stream(1, ErrorCode.CANCEL))
    assert pair.service.cancelled == ["range"]
    pair.service.held[0](pb.RangeResponse())
    assert pair.take() == []


def test_answering_twice_is_a_defect(pair: Pair) -> None:
    client = pair.client
    pair.connection.throttle()
    pair.connection.receive(client.request(1, RANGE) + client.message(1, pb.RangeRequest(key=b"k")), 1.0)
    pair.service.held[0](pb.RangeResponse())
    with pytest.raises(RuntimeError, match="twice"):
        pair.service.held[0](pb.RangeResponse())


def test_deadlines_end_calls_in_their_order(pair: Pair) -> None:
    client = pair.client
    for stream_id, timeout in ((1, "20S"), (3, "10S"), (5, "15S")):
        pair.send(client.request(stream_id, RANGE, [("grpc-timeout", timeout)]))
        pair.send(client.message(stream_id, pb.RangeRequest(key=b"k")))
    pair.service.held[2](pb.RangeResponse())
    pair.take()
    pair.deadlines.expire(pair.now + 12)
    ended = [(stream_id, fields["grpc-status"]) for _, _, stream_id, fields in pair.take()]
    assert ended == [(3, "4")]
    pair.deadlines.expire(pair.now + 30)
    assert [stream_id for _, _, stream_id, _ in pair.take()] == [1]
    assert len(pair.deadlines) == 0
    assert pair.service.cancelled == ["range", "range"]


def test_a_graceful_end(pair: Pair) -> None:
    client = pair.client
    pair.send(client.request(1, RANGE), client.message(1, pb.RangeRequest(key=b"k")))
    pair.connection.drain()
    seen = pair.take()
    assert [kind for kind, *_ in seen] == [frames.GOAWAY, frames.PING]
    assert int.from_bytes(seen[0][3][:4], "big") == frames.LARGEST_WINDOW
    late = pair.send(client.request(3), client.message(3, put()))
    assert [kind for kind, *_ in late] == [frames.HEADERS, frames.DATA, frames.HEADERS]
    seen = pair.send(frames.ping(seen[1][3], ack=True))
    assert int.from_bytes(seen[0][3][:4], "big") == 3
    assert codes(pair.send(client.request(5)), frames.RST_STREAM) == [ErrorCode.REFUSED_STREAM]
    assert not pair.connection.drained_out
    pair.service.held[0](pb.RangeResponse())
    assert pair.connection.drained_out


def test_a_changed_table_limit_is_answered_with_a_resize(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    client = pair.client
    client.decoder.max_allowed_table_size = 0
    pair.open([(1, 0)])
    for stream_id in (1, 3):
        seen = pair.send(client.request(stream_id), client.message(stream_id, put()))
        assert seen[0][3][":status"] == "200"


# Keep-alive and hostile input.


def test_ping_strikes(pair: Pair) -> None:
    client = pair.client
    ping = frames.ping(bytes(8))
    pair.send(client.request(1, RANGE))
    assert [kind for kind, *_ in pair.send(ping * 3)] == [frames.PING] * 3
    pair.send(client.request(3), client.message(3, put()))
    assert [kind for kind, *_ in pair.send(ping * 3)] == [frames.PING] * 3  # our answer wiped the strikes
    seen = pair.send(ping)
    assert codes(seen, frames.GOAWAY) == [ErrorCode.ENHANCE_YOUR_CALM]
    assert seen[-1][3][8:] == b"too_many_pings"
    assert pair.service.cancelled == []  # the call had not begun: its message never came
    assert pair.connection.closing


def test_data_that_waited_for_the_window_wipes_strikes(make_pair: Callable[..., Pair]) -> None:
    """grpc-go measures the path with a ping per window while it receives."""
    pair = make_pair()
    client = pair.client
    pair.open([(frames.Setting.INITIAL_WINDOW_SIZE, 10)])
    pair.send(client.request(1), client.message(1, put(b"k", b"v" * 1000)))
    ping = frames.ping(bytes(8))
    for _ in range(20):
        seen = pair.send(frames.window_update(1, 10), ping)
        assert [kind for kind, *_ in seen] == [frames.DATA, frames.PING]
    assert [kind for kind, *_ in pair.send(ping * 2)] == [frames.PING] * 2  # nothing was sent: strikes
    assert codes(pair.send(ping), frames.GOAWAY) == [ErrorCode.ENHANCE_YOUR_CALM]


def test_lawful_pings_go_on_for_ever(pair: Pair) -> None:
    pair.send(pair.client.request(1, RANGE))
    for _ in range(50):
        pair.now += 5.0
        assert [kind for kind, *_ in pair.send(frames.ping(bytes(8)))] == [frames.PING]


@pytest.mark.parametrize("allowed", [False, True])
def test_pings_without_a_stream(make_pair: Callable[..., Pair], allowed: bool) -> None:
    pair = make_pair(Limits(keepalive_without_stream=allowed))
    pair.open()
    for _ in range(5):
        pair.now += 6.0
        pair.send(frames.ping(bytes(8)))
    assert pair.connection.closing is not allowed


@pytest.mark.parametrize(
    "flood",
    [
        frames.settings([]),
        frames.frame(frames.PRIORITY, 0, 1, bytes(4) + b"\1"),
        frames.frame(0x42, 0, 0, b"?"),
        frames.ping(bytes(8), ack=True),
        frames.frame(frames.DATA, 0, 1),
    ],
    ids=["settings", "priority", "unknown", "pong", "empty data"],
)
def test_floods_are_sent_away(pair: Pair, flood: bytes) -> None:
    pair.send(pair.client.request(1, WATCH))
    pair.send(flood * int(ALLOWANCE * 0.9))
    assert not pair.connection.closing
    pair.now += 1000.0
    pair.send(flood * int(ALLOWANCE * 0.9))
    assert not pair.connection.closing
    seen = pair.send(flood * 300)
    assert codes(seen, frames.GOAWAY) == [ErrorCode.ENHANCE_YOUR_CALM]


def test_rapid_reset_is_sent_away(pair: Pair) -> None:
    client = pair.client
    attempts = 0
    while not pair.connection.closing:
        stream_id = 2 * attempts + 1
        pair.connection.receive(
            client.request(stream_id, WATCH) + frames.rst_stream(stream_id, ErrorCode.CANCEL), 100.0
        )
        attempts += 1
        assert attempts <= ALLOWANCE + 2
    assert codes(pair.take(), frames.GOAWAY) == [ErrorCode.ENHANCE_YOUR_CALM]
    assert len(pair.service.cancelled) == attempts


def test_endless_headers_are_sent_away(pair: Pair) -> None:
    start = frames.frame(frames.HEADERS, 0, 1, b"\x00\x01a\x01b" * 100)
    more = frames.frame(frames.CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100)
    seen = pair.send(start, more * 1000)
    assert codes(seen, frames.GOAWAY) == [ErrorCode.ENHANCE_YOUR_CALM]


def test_a_header_block_may_be_in_pieces(pair: Pair) -> None:
    client = pair.client
    whole = client.request(1)[frames.HEADER_SIZE :]
    pieces = [frames.frame(frames.HEADERS, 0, 1, whole[:3])]
    pieces += [
        frames.frame(frames.CONTINUATION, 0, 1, whole[index : index + 5]) for index in range(3, len(whole), 5)
    ]
    pieces.append(frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1))
    seen = pair.send(*pieces, client.message(1, put()))
    assert [kind for kind, *_ in seen] == [frames.HEADERS, frames.DATA, frames.HEADERS]


def test_deadlines_of_answered_calls_do_not_pile_up(pair: Pair) -> None:
    client = pair.client
    timeout = [("grpc-timeout", "99999999S")]
    for number in range(3 * Deadlines.SWEEP):
        stream_id = 2 * number + 1
        pair.connection.receive(
            client.request(stream_id, RANGE, timeout) + client.message(stream_id, pb.RangeRequest(key=b"k")),
            100.0,
        )
        pair.service.held.pop()(pb.RangeResponse())
        pair.connection.take()
        pair.connection.refill()
        pair.connection.send_window = 1 << 20
    assert len(pair.deadlines) <= Deadlines.SWEEP
