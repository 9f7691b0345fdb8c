"""What the adapter refuses before it sends anything, and what it notices after."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import requests
from gauntlet.harness.tools.ports import PortPool
from gauntlet.harness.toxiproxy.adapter import (
    StateMismatch,
    Toxiproxy,
    ToxiproxyError,
    ToxiproxyRefused,
    ToxiproxyUnreachable,
)
from gauntlet.harness.toxiproxy.toxics import TYPES, InvalidToxic


@pytest.fixture
def nowhere() -> Iterator[Toxiproxy]:
    """An adapter to a port where nobody is: whatever it refuses, it refuses without asking."""
    ports = PortPool()
    adapter = Toxiproxy("127.0.0.1", ports.take(), timeout=1.0)
    yield adapter
    adapter.close()
    ports.close()


IMPOSSIBLE = [
    ("bandwidth", {"rate": -1}, "rate must lie between"),
    ("bandwidth", {"rate": 2**63}, "rate must lie between"),
    ("bandwidth", {"rate": 1.5}, "whole number"),
    ("bandwidth", {"rate": True}, "whole number"),
    ("bandwidth", {"rate": "5"}, "whole number"),
    ("bandwidth", {"speed": 5}, "no attribute 'speed'; it takes rate"),
    ("latency", {"latency": -5}, "latency must lie between"),
    ("latency", {"latency": 10, "jitter": -1}, "jitter must lie between"),
    ("slicer", {}, "average_size must lie between 1"),
    ("slicer", {"average_size": 0}, "average_size must lie between 1"),
    ("slicer", {"average_size": 5, "size_variation": 5}, "size_variation must be less"),
    ("slicer", {"average_size": 5, "size_variation": -1}, "size_variation must lie between"),
    ("slicer", {"average_size": 5, "delay": -1}, "delay must lie between"),
    ("timeout", {"timeout": -1}, "timeout must lie between"),
    ("reset_peer", {"timeout": -1}, "timeout must lie between"),
    ("slow_close", {"delay": -1}, "delay must lie between"),
    ("limit_data", {"bytes": -1}, "bytes must lie between"),
    ("noop", {"x": 1}, "no attribute 'x'; it takes none"),
    ("loss", {}, "unknown toxic 'loss'; known are bandwidth"),
]


@pytest.mark.parametrize(("kind", "attributes", "message"), IMPOSSIBLE)
def test_impossible_attributes_are_not_sent(
    nowhere: Toxiproxy, kind: str, attributes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidToxic, match=message) as caught:
        nowhere.add_toxic("p", kind, attributes=attributes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("toxicity", [-0.1, 1.1, float("nan"), float("inf"), True, "1"])
def test_impossible_toxicity_is_not_sent(nowhere: Toxiproxy, toxicity: float) -> None:
    with pytest.raises(InvalidToxic, match="toxicity must"):
        nowhere.add_toxic("p", "latency", toxicity=toxicity)


def test_unknown_stream_is_not_sent(nowhere: Toxiproxy) -> None:
    with pytest.raises(InvalidToxic, match="neither upstream nor downstream"):
        nowhere.add_toxic("p", "latency", stream="sideways")


@pytest.mark.parametrize("name", ["", "a/b", ".", ".."])
def test_names_that_cannot_be_addressed_are_not_sent(nowhere: Toxiproxy, name: str) -> None:
    with pytest.raises(ToxiproxyError, match="name"):
        nowhere.create(name, "127.0.0.1:1", "127.0.0.1:0")
    with pytest.raises(ToxiproxyError, match="name"):
        nowhere.add_toxic(name, "latency")


@pytest.mark.parametrize("address", ["", "host", "host:", ":0", "host:0", "host:x", "host:70000"])
def test_upstreams_that_are_no_addresses_are_not_sent(nowhere: Toxiproxy, address: str) -> None:
    with pytest.raises(ToxiproxyError, match="is not HOST:PORT"):
        nowhere.create("p", address, "127.0.0.1:0")


def test_nobody_there(nowhere: Toxiproxy) -> None:
    with pytest.raises(ToxiproxyUnreachable, match="no answer from toxiproxy"):
        nowhere.version()


def test_every_toxic_with_its_least_values(api: Toxiproxy) -> None:
    api.create("p", "127.0.0.1:1", "127.0.0.1:0")
    for kind in TYPES.values():
        attributes = {attribute.name: attribute.least for attribute in kind.attributes}
        for stream in ("upstream", "downstream"):
            state = api.add_toxic("p", kind.name, stream=stream, toxicity=0.25, attributes=attributes)
            assert (state.name, dict(state.attributes)) == (f"{kind.name}_{stream}", attributes)
    assert len(api.toxics("p")) == 2 * len(TYPES)
    api.reset()
    assert api.toxics("p") == ()


@pytest.mark.parametrize(
    "name", ["plain", "two words", "a?b=c", "per%20cent", "hash#tag", "gr\u00fc\u00dfe", "a&b<c>"]
)
def test_names_are_quoted(api: Toxiproxy, name: str) -> None:
    api.create(name, "127.0.0.1:1", "127.0.0.1:0")
    assert api.add_toxic(name, "latency", name=name, attributes={"latency": 1}).name == name
    assert api.update_toxic(name, name, toxicity=0.1, attributes={"jitter": 2}).attributes == {
        "latency": 1,
        "jitter": 2,
    }
    assert not api.disable(name).enabled
    assert api.enable(name).enabled
    api.remove_toxic(name, name)
    assert api.update(name, upstream="127.0.0.1:2").upstream == "127.0.0.1:2"
    api.delete(name)
    assert api.proxies() == {}


def test_refusals_are_typed(api: Toxiproxy) -> None:
    api.create("p", "127.0.0.1:1", "127.0.0.1:0")
    listen = api.proxy("p").listen
    refused: list[tuple[Callable[[], object], int]] = [
        (lambda: api.create("p", "127.0.0.1:1", "127.0.0.1:0"), 409),
        (lambda: api.create("q", "127.0.0.1:1", listen), 500),
        (lambda: api.proxy("q"), 404),
        (lambda: api.delete("q"), 404),
        (lambda: api.remove_toxic("p", "x"), 404),
        (lambda: api.update_toxic("p", "x", toxicity=1.0), 404),
        (lambda: (api.add_toxic("p", "latency"), api.add_toxic("p", "latency")), 409),
    ]
    for call, status in refused:
        with pytest.raises(ToxiproxyRefused) as caught:
            call()
        assert caught.value.status == status


def test_populate(api: Toxiproxy) -> None:
    states = api.populate(
        [
            {"name": "one", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"},
            {"name": "two", "upstream": "127.0.0.1:2", "listen": "127.0.0.1:0"},
        ]
    )
    assert [state.name for state in states] == ["one", "two"]
    assert set(api.proxies()) == {"one", "two"}


def test_instances_talk_to_their_own_servers(
    embedded: tuple[str, int], nowhere: Toxiproxy, api: Toxiproxy
) -> None:
    """The library keeps the address on a class; ours must not leak between instances or into the user's."""
    import toxiproxy

    before = toxiproxy.api.APIConsumer.host, toxiproxy.api.APIConsumer.port
    other = Toxiproxy(*embedded)
    api.create("mine", "127.0.0.1:1", "127.0.0.1:0")
    with pytest.raises(ToxiproxyUnreachable):
        nowhere.proxies()
    assert "mine" in api.proxies()
    assert other.version()
    other.close()
    assert (toxiproxy.api.APIConsumer.host, toxiproxy.api.APIConsumer.port) == before
    assert toxiproxy.api.requests is requests
    assert not [name for name in sys.modules if name.startswith(other._library.__name__)]


class Liar(BaseHTTPRequestHandler):
    """Says yes to everything and does nothing, or what `answers` says."""

    proxy: ClassVar[bytes] = (
        b'{"name":"p","listen":"127.0.0.1:5","upstream":"127.0.0.1:1","enabled":true,"toxics":[]}'
    )
    protocol_version = "HTTP/1.1"

    def reply(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        body = (
            b'{"p":' + self.proxy + b"}" if self.path == "/proxies" and self.command == "GET" else self.proxy
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = reply

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def liar() -> Iterator[Toxiproxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    adapter = Toxiproxy("127.0.0.1", server.server_address[1])
    yield adapter
    adapter.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_does_not_do_it_is_caught(liar: Toxiproxy) -> None:
    calls: list[Callable[[], object]] = [
        lambda: liar.disable("p"),
        lambda: liar.update("p", upstream="127.0.0.1:9"),
        lambda: liar.add_toxic("p", "latency"),
        lambda: liar.delete("p"),
        lambda: liar.populate([{"name": "q", "upstream": "127.0.0.1:9"}]),
    ]
    for call in calls:
        with pytest.raises(StateMismatch):
            call()
