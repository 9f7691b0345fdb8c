"""What only the embedded server promises: it survives what the real one dies of, and starts as a process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import requests
from gauntlet.harness.tools.ports import PortPool
from gauntlet.harness.toxiproxy import gojson
from gauntlet.harness.toxiproxy.adapter import Toxiproxy, ToxiproxyError
from gauntlet.harness.toxiproxy.launch import ToxiproxySpecError, check_spec, start_toxiproxy

Run = Callable[[Coroutine[Any, Any, None]], None]

DEADLY = [
    {"type": "bandwidth", "attributes": {"rate": -1}},
    {"type": "slicer", "attributes": {"average_size": 0}},
    {"type": "slicer", "attributes": {"average_size": 1, "size_variation": 9}},
    {"type": "slicer"},
    {"type": "latency", "attributes": {"latency": -1}},
    {"type": "limit_data", "attributes": {"bytes": -1}},
    {"type": "latency", "toxicity": 2},
    {"type": "latency", "toxicity": -1},
]


@pytest.mark.parametrize("toxic", DEADLY, ids=json.dumps)
def test_impossible_toxics_are_answered_400(embedded: tuple[str, int], toxic: dict[str, Any]) -> None:
    base = f"http://{embedded[0]}:{embedded[1]}/proxies"
    requests.post(
        base, json={"name": "deadly", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"}, timeout=5
    )
    response = requests.post(f"{base}/deadly/toxics", json=toxic, timeout=5)
    assert response.status_code == 400
    assert response.json()["status"] == 400
    assert requests.get(f"{base}/deadly", timeout=5).json()["toxics"] == []
    requests.delete(f"{base}/deadly", timeout=5)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 5000,
        b"POST /proxies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_garbage_is_refused_and_survived(embedded: tuple[str, int], garbage: bytes) -> None:
    with socket.create_connection(embedded, timeout=5) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))
    assert requests.get(f"http://{embedded[0]}:{embedded[1]}/version", timeout=5).ok


def test_pipelined_requests_are_answered_in_order(embedded: tuple[str, int]) -> None:
    ask = (
        b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
        + b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(embedded, timeout=5) as connection:
        connection.sendall(ask)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"404 page not found" in answer


def test_metrics_count_bytes(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        ports = PortPool()
        port = ports.take()
        command = ["-m", "gauntlet.harness.toxiproxy", "--listen", f"127.0.0.1:{port}", "--proxy-metrics"]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert b"embedded toxiproxy" in await process.stdout.readline()
        api = Toxiproxy("127.0.0.1", port)
        try:

            async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(await reader.readexactly(3) * 2)
                writer.close()

            server = await asyncio.start_server(shout, "127.0.0.1", 0)
            upstream = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            state = await asyncio.to_thread(api.create, "counted", upstream, "127.0.0.1:0")
            reader, writer = await asyncio.open_connection("127.0.0.1", int(state.listen.rpartition(":")[2]))
            writer.write(b"abc")
            assert await reader.read() == b"abcabc"
            writer.close()
            text = (await asyncio.to_thread(requests.get, f"http://127.0.0.1:{port}/metrics", timeout=5)).text
            assert 'received_bytes_total{direction="upstream"' in text
            sent = [line for line in text.splitlines() if 'sent_bytes_total{direction="downstream"' in line]
            assert sent[0].endswith(" 6")
            server.close()
        finally:
            api.close()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            ports.close()

    run(main())


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "gauntlet.harness.toxiproxy", "--listen", listen]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"cannot listen on {listen}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("kind", ["embedded", "auto"])
def test_launch(tmp_path: Path, run: Run, kind: str) -> None:
    async def main() -> None:
        server = await start_toxiproxy(kind, tmp_path / "log")
        assert server.kind == kind or kind == "auto"
        external = await start_toxiproxy(server.url, tmp_path / "log2")
        assert (external.kind, external.version) == ("external", server.version)
        await external.stop()
        api = server.client()
        assert await asyncio.to_thread(api.version) == server.version
        assert server.child is not None
        await server.stop()
        assert server.child.returncode is not None
        api.close()
        with pytest.raises(ToxiproxyError):
            await start_toxiproxy(server.url, tmp_path / "log3")

    run(main())


@pytest.mark.parametrize(
    "spec", ["", "fake", "https://h:1", "http://", "http://h:x", "http://h:1/path", "h:1"]
)
def test_unknown_kinds_are_refused(spec: str) -> None:
    with pytest.raises(ToxiproxySpecError):
        check_spec(spec)


def test_real_that_is_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GAUNTLET_CACHE", str(tmp_path))
    with pytest.raises(ToxiproxySpecError, match="gauntlet tools install toxiproxy"):
        check_spec("real")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"null", None),
        (b' {"a": [true, false, "x\\u0041\\n"]} rest', {"a": [True, False, "xA\n"]}),
        (b"-1.5e+3", gojson.Number("-1.5e+3")),
        (b"[]", []),
        (b"{}", {}),
    ],
)
def test_json_values(body: bytes, value: object) -> None:
    assert gojson.decode(body) == value
