"""--discovery-srv against a DNS server on the loopback that answers SRV questions from a table."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from gauntlet.reference.server.config import build
from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.srv import with_srv

Table = dict[str, list[str]]


@pytest.fixture
def resolver_for() -> Iterator[Callable[[Table], dns.resolver.Resolver]]:
    """Makes a resolver that asks a server with the given records: priority, weight, port, target."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(table: Table) -> dns.resolver.Resolver:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        sockets.append(server)

        def serve() -> None:
            while True:
                data, client = server.recvfrom(4096)
                if not data:
                    return
                query = dns.message.from_wire(data)
                answer = dns.message.make_response(query)
                name = query.question[0].name
                records = table.get(name.to_text(omit_final_dot=True))
                if records is None:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                else:
                    answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *records))
                server.sendto(answer.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        threads.append(thread)
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = server.getsockname()[1]
        return resolver

    yield start
    for server, thread in zip(sockets, threads, strict=True):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", server.getsockname())
        thread.join(5)
        server.close()


def given(folder: Path, **more: str) -> dict[str, str]:
    own = {"name": "me", "discovery-srv": "example.test", "data-dir": str(folder / "data")}
    url = {"initial-advertise-peer-urls": "http://127.0.0.1:2380"}
    return {**own, **url, **{key.replace("_", "-"): value for key, value in more.items()}}


def test_members_are_found(resolver_for: Callable[[Table], dns.resolver.Resolver], tmp_path: Path) -> None:
    records = ["0 0 12380 127.0.0.1.", "0 0 2380 127.0.0.1.", "0 0 22380 127.0.0.1."]
    resolver = resolver_for({"_etcd-server._tcp.example.test": records})
    config = build(with_srv(given(tmp_path), resolver))
    assert sorted(config.initial_cluster.items()) == [
        ("0", ["http://127.0.0.1:12380"]),
        ("1", ["http://127.0.0.1:22380"]),
        ("me", ["http://127.0.0.1:2380"]),
    ]


def test_tls_and_a_service_name(
    resolver_for: Callable[[Table], dns.resolver.Resolver], tmp_path: Path
) -> None:
    resolver = resolver_for({"_etcd-server-ssl-blue._tcp.example.test": ["0 0 2380 127.0.0.1."]})
    more = {"discovery_srv_name": "blue", "initial_advertise_peer_urls": "https://127.0.0.1:2380"}
    found = with_srv(given(tmp_path, **more), resolver)
    assert found["initial-cluster"] == "me=https://127.0.0.1:2380"


@pytest.mark.parametrize(
    ("table", "more", "words"),
    [
        ({}, {}, "error querying DNS SRV records for _etcd-server-ssl"),
        ({"_etcd-server._tcp.example.test": ["0 0 1 127.0.0.1."]}, {}, 'cannot find local etcd member "me"'),
        ({"_etcd-server-ssl._tcp.example.test": ["0 0 2380 127.0.0.1."]}, {}, "has scheme mismatch"),
        ({}, {"initial_cluster": "me=http://127.0.0.1:2380"}, "multiple discovery or bootstrap flags"),
    ],
)
def test_what_is_refused(
    resolver_for: Callable[[Table], dns.resolver.Resolver],
    tmp_path: Path,
    table: Table,
    more: dict[str, str],
    words: str,
) -> None:
    with pytest.raises(UsageError) as caught:
        with_srv(given(tmp_path, **more), resolver_for(table))
    assert words in str(caught.value)


def test_a_member_with_a_log_does_not_ask(tmp_path: Path) -> None:
    wal = tmp_path / "data" / "member" / "wal"
    wal.mkdir(parents=True)
    (wal / "0000000000000000-0000000000000000.wal").touch()
    nobody = dns.resolver.Resolver(configure=False)
    assert "initial-cluster" not in with_srv(given(tmp_path), nobody)
