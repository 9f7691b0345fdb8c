"""The server over real sockets: both HTTPs on one port, TLS, and clients that mean no good."""

from __future__ import annotations

import datetime
import http.client
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.frames import DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM
from gauntlet.api.wire.server import Limits

PUT = "/etcdserverpb.KV/Put"
WATCH = "/etcdserverpb.Watch/Watch"
SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot"
MEBIBYTE = 1 << 20


def read_until(sock: socket.socket, enough: Callable[[bytes], bool]) -> bytes:
    """Everything up to where there is enough, or to the end."""
    data = b""
    while not enough(data):
        try:
            piece = sock.recv(1 << 16)
        except ConnectionResetError:
            break
        if not piece:
            break
        data += piece
    return data


def read_all(sock: socket.socket) -> bytes:
    return read_until(sock, lambda data: False)


def get(client: Any, sock: socket.socket, method: str, target: str, body: bytes = b"") -> tuple[Any, bytes]:
    """One HTTP exchange over HTTP/2 on stream 1."""
    fields = [(":method", method), (":scheme", "http"), (":path", target), (":authority", "me:1")]
    sock.sendall(client.headers(1, fields, end=not body))
    for start in range(0, len(body), 1 << 14):
        last = start + (1 << 14) >= len(body)
        sock.sendall(client.frames.frame(DATA, END_STREAM if last else 0, 1, body[start : start + (1 << 14)]))
    sock.sendall(client.frames.window_update(0, 1 << 30) + client.frames.window_update(1, 1 << 30))

    def ended(data: bytes) -> bool:
        return any(
            kind in (DATA, HEADERS) and flags & END_STREAM and stream_id == 1
            for kind, flags, stream_id, _ in client.frames.split_frames(data)
        )

    seen = client.read(read_until(sock, ended))
    head = next(payload for kind, *_, payload in seen if kind == HEADERS)
    return head, b"".join(payload for kind, *_, payload in seen if kind == DATA)


def test_both_on_one_port(server: Any) -> None:
    host, port = server.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("POST", "/echo", b"body")
    assert connection.getresponse().read() == b"body"
    connection.close()
    with grpc.insecure_channel(server.address) as channel:
        put = channel.unary_unary(PUT, pb.PutRequest.SerializeToString, pb.PutResponse.FromString)
        assert put(pb.PutRequest(key=b"k"), timeout=10).prev_kv.key == b"k"


def test_http_over_http2(server: Any, frame_clients: Any) -> None:
    def fetch(method: str, target: str, body: bytes = b"") -> tuple[Any, bytes]:
        client = frame_clients()
        with client.over(server.connect()) as sock:
            return get(client, sock, method, target, body)

    head, body = fetch("GET", "/info?a=1&b=x%20y")
    assert (head[":status"], body) == ("200", b"GET /info?a=1&b=x%20y me:1 a=['1'],b=['x y']")
    assert int(head["content-length"]) == len(body)
    assert "date" in head
    large = bytes(range(256)) * 2000
    assert fetch("POST", "/echo", large)[1] == large
    assert fetch("POST", "/pieces", large)[1] == large
    assert len(fetch("GET", "/large")[1]) == 2 * MEBIBYTE
    head, body = fetch("HEAD", "/large")
    assert (head["content-length"], body) == (str(2 * MEBIBYTE), b"")
    assert fetch("POST", "/missing", b"unwanted")[0][":status"] == "404"
    assert fetch("POST", "/echo", bytes(MEBIBYTE + 1))[0][":status"] == "413"


def test_an_answer_does_not_wait_for_a_body_without_end(server: Any, frame_client: Any) -> None:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/missing"), (":authority", "me")]
    with frame_client.over(server.connect()) as sock:
        sock.sendall(frame_client.headers(1, fields))
        sock.sendall(frame_client.frames.frame(DATA, 0, 1, b"and so on"))
        assert b"404 page not found" in read_until(sock, lambda data: b"not found" in data)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "node.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + built.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls(run_server: Any, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = run_server(None, "https://127.0.0.1:0", context)
    root = certificate.read_bytes()
    with grpc.secure_channel(
        server.address, grpc.ssl_channel_credentials(root[root.index(b"-----BEGIN C") :])
    ) as ch:
        put = ch.unary_unary(PUT, pb.PutRequest.SerializeToString, pb.PutResponse.FromString)
        value = b"v" * MEBIBYTE
        assert put(pb.PutRequest(key=b"k", value=value), timeout=20).prev_kv.value == value
    assert server.service.contexts[-1].transport_info("ssl_object") is not None
    trusting = ssl.create_default_context(cafile=str(certificate))
    host, port = server.address.split(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=10, context=trusting)
    connection.request("GET", "/info")
    assert connection.getresponse().read().startswith(b"GET /info")
    connection.close()


def test_urls_that_cannot_be_listened_on(run_server: Any) -> None:
    server = run_server()
    for url in ("ftp://127.0.0.1:1", "https://127.0.0.1:0", "127.0.0.1:1"):
        with pytest.raises(ValueError, match="cannot listen"):
            server.run(server.server.listen(url))


# Clients that mean no good. After each, another client is served.


@pytest.fixture
def hostile(server: Any) -> Any:
    yield server
    with grpc.insecure_channel(server.address) as channel:
        put = channel.unary_unary(PUT, pb.PutRequest.SerializeToString, pb.PutResponse.FromString)
        assert put(pb.PutRequest(key=b"k"), timeout=10).prev_kv.key == b"k"


def test_garbage_instead_of_a_preface(hostile: Any) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01",
        b"SSH-2.0-x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\0" * 9,
    ):
        with hostile.connect() as sock:
            sock.sendall(garbage)
            assert read_all(sock) == b""


def test_garbage_after_the_preface(hostile: Any, frame_client: Any) -> None:
    with hostile.connect() as sock:
        sock.sendall(PREFACE + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        kinds = [kind for kind, *_ in frame_client.read(read_all(sock))]
    assert kinds[-1] == GOAWAY


def test_the_goaway_survives_unread_input(hostile: Any, frame_client: Any) -> None:
    with frame_client.over(hostile.connect()) as sock:
        sock.sendall(frame_client.frames.frame(PING, 0, 1, bytes(8)) + bytes(MEBIBYTE // 4))
        seen = frame_client.read(read_all(sock))
    assert seen[-1][0] == GOAWAY


def test_a_half_closed_socket_is_closed(hostile: Any, frame_client: Any, eventually: Any) -> None:
    with frame_client.over(hostile.connect()) as sock:
        sock.sendall(frame_client.request(1, WATCH))
        read_until(sock, lambda data: len(data) > 20)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)
        eventually(lambda: hostile.service.cancelled == ["watch"])


def test_silence_is_cut_off(run_server: Any) -> None:
    server = run_server(Limits(preface_timeout=0.2))
    with server.connect() as sock:
        sock.sendall(b"PRI * ")
        assert read_all(sock) == b""


def test_a_reader_that_reads_nothing_costs_bounded_memory(
    hostile: Any, frame_client: Any, eventually: Any
) -> None:
    """It opens all windows and asks for far more than it takes: the rest stays with the services."""
    opening = frame_client.opening([(4, (1 << 31) - 1)]) + frame_client.frames.window_update(0, 1 << 30)
    with hostile.connect() as sock:
        sock.sendall(opening)
        for number in range(20):
            stream_id = 2 * number + 1
            sock.sendall(frame_client.request(stream_id, SNAPSHOT, [("blobs", "5000")]))
            sock.sendall(frame_client.message(stream_id, pb.SnapshotRequest()))

        def held() -> tuple[int, int]:
            (protocol,) = hostile.server._connections
            return protocol.connection.backlog, protocol.transport.get_write_buffer_size()

        eventually(lambda: hostile.server.connections == len(hostile.server._connections) == 1)
        eventually(lambda: hostile.call(held)[1] > 0)
        backlog, buffered = hostile.call(held)
        assert backlog < 20 * 300_000
        assert buffered < 2 * MEBIBYTE
    # Input waits while answers pile up, so some of the calls may never have been begun.
    eventually(lambda: hostile.server.connections == 0)
    assert 0 < hostile.service.snapshots == hostile.service.cancelled.count("snapshot")


def test_server_pings_a_silent_client(run_server: Any, frame_client: Any) -> None:
    server = run_server(Limits(keepalive_interval=0.1, keepalive_timeout=0.2))
    with frame_client.over(server.connect()) as sock:
        seen = frame_client.read(read_all(sock))
    assert [kind for kind, *_ in seen][-1] == PING


def test_an_answered_ping_keeps_the_connection(run_server: Any, frame_client: Any) -> None:
    server = run_server(Limits(keepalive_interval=0.05, keepalive_timeout=5.0))
    with frame_client.over(server.connect()) as sock:
        rest = b""
        for _ in range(4):
            while True:
                rest += sock.recv(4096)
                frames = list(frame_client.frames.split_frames(rest))
                if frames and frames[-1][0] == PING:
                    break
            rest = b""
            sock.sendall(frame_client.frames.ping(frames[-1][3], ack=True))
        sock.sendall(frame_client.request(1) + frame_client.message(1, pb.PutRequest(key=b"k")))
        assert b"grpc-status" in read_until(sock, lambda data: b"grpc-status" in data)


def test_a_defect_in_a_handler_costs_one_connection(run_server: Any, frame_clients: Any) -> None:
    server = run_server()
    server.service.held = None  # type: ignore[assignment]  # so that Range raises AttributeError
    client = frame_clients()
    with client.over(server.connect()) as sock:
        sock.sendall(client.request(1, "/etcdserverpb.KV/Range"))
        sock.sendall(client.message(1, pb.RangeRequest(key=b"k")))
        read_all(sock)
    assert isinstance(server.errors[0]["exception"], AttributeError)
    server.errors.clear()
    with grpc.insecure_channel(server.address) as channel:
        put = channel.unary_unary(PUT, pb.PutRequest.SerializeToString, pb.PutResponse.FromString)
        assert put(pb.PutRequest(key=b"k"), timeout=10).prev_kv.key == b"k"


@pytest.mark.slow
def test_a_thousand_idle_and_a_thousand_busy_connections(
    server: Any, frame_clients: Any, eventually: Any
) -> None:
    with ExitStack() as stack:
        sockets = []
        for number in range(2000):
            client = frame_clients()
            sock = stack.enter_context(client.over(server.connect()))
            if number % 2:
                sockets.append((client, sock))
        for round_number in range(5):
            for client, sock in sockets:
                stream_id = 2 * round_number + 1
                sock.sendall(client.request(stream_id) + client.message(stream_id, pb.PutRequest(key=b"k")))
            for _, sock in sockets:
                assert b"grpc-status" in read_until(sock, lambda data: b"grpc-status" in data)
        assert server.server.connections == 2000
    eventually(lambda: server.server.connections == 0)


def test_resets_are_not_answered_with_resets(server: Any, frame_client: Any) -> None:
    with frame_client.over(server.connect()) as sock:
        sock.sendall(frame_client.request(1, WATCH) + frame_client.frames.rst_stream(1, 8) * 3)
        sock.sendall(frame_client.request(3) + frame_client.message(3, pb.PutRequest(key=b"k")))
        data = read_until(sock, lambda data: b"grpc-status" in data)
    assert RST_STREAM not in [kind for kind, *_ in frame_client.frames.split_frames(data)]


def test_header_fields_are_logged_as_go_logs_them(run_server: Any, frame_client: Any) -> None:
    lines: list[str] = []
    server = run_server(header_log=lines.append)
    with frame_client.over(server.connect()) as sock:
        sock.sendall(frame_client.request(1) + frame_client.message(1, pb.PutRequest(key=b"k")))
        read_until(sock, lambda data: b"grpc-status" in data)
    assert 'http2: decoded hpack field header field ":authority" = "test"' in lines


def test_curl_style_uploads_that_nobody_wants(server: Any, frame_client: Any) -> None:
    body = bytes(3 * MEBIBYTE // 2)
    with frame_client.over(server.connect()) as sock:
        head, answer = get(frame_client, sock, "POST", "/missing", body)
    assert (head[":status"], answer) == ("404", b"404 page not found\n")
