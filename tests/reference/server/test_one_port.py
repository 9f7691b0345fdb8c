"""A member whose client URLs name one address with TLS and without."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

DEADLINE = 20.0


@pytest.mark.slow
def test_plain_and_secure_on_one_port(
    launch: Callable[..., Any], ports: Callable[[int], list[int]], authority: Any
) -> None:
    client, peer = ports(2)
    peers = f"http://127.0.0.1:{peer}"
    both = [f"{scheme}://127.0.0.1:{client}" for scheme in ("http", "https")]
    own = authority.sign("server")
    member = launch(
        *("--listen-client-urls", ",".join(both), "--advertise-client-urls", ",".join(both)),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
        *("--initial-cluster", f"default={peers}", "--unsafe-no-fsync"),
        *("--cert-file", str(own.cert), "--key-file", str(own.key)),
    )
    member.wait_for("ready to serve client requests")
    trusting = ssl.create_default_context(cafile=str(authority.file))
    for url in both:
        context = trusting if url.startswith("https") else None
        with urllib.request.urlopen(f"{url}/version", timeout=DEADLINE, context=context) as answer:
            assert b"etcdserver" in answer.read()
    assert member.log.count("serving client traffic insecurely") == 1
    assert member.log.count("serving client traffic securely") == 1
