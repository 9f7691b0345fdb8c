"""What the node writes about header fields under the setting of Go's HTTP/2 library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.server.log import header_log


@pytest.mark.parametrize("setting", [None, "", "http2debug=1", "gctrace=1"])
def test_silent_without_the_setting(setting: str | None) -> None:
    assert header_log({} if setting is None else {"GODEBUG": setting}) is None


@pytest.mark.parametrize("setting", ["http2debug=2", "gctrace=1,http2debug=2"])
def test_lines_go_to_stderr_with_a_time(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    write = header_log({"GODEBUG": setting})
    assert write is not None
    write('a "b"')
    day, time, text = capsys.readouterr().err.split(" ", 2)
    assert (day.count("/"), time.count(":"), text) == (2, 2, 'a "b"\n')


@pytest.mark.slow
def test_the_authority_a_client_names(launch: Callable[..., Any], ports: Callable[[int], list[int]]) -> None:
    client, peer = ports(2)
    url, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    member = launch(
        *("--listen-client-urls", url, "--advertise-client-urls", url),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
        *("--initial-cluster", f"default={peers}", "--unsafe-no-fsync"),
        environment={"GODEBUG": "http2debug=2"},
    )
    member.wait_for("ready to serve client requests")
    with grpc.insecure_channel(
        f"127.0.0.1:{client}", options=[("grpc.default_authority", "somebody:1")]
    ) as channel:
        put = channel.unary_unary("/etcdserverpb.KV/Put", pb.PutRequest.SerializeToString, bytes)
        put(pb.PutRequest(key=b"k"), timeout=20)
    member.wait_for(' http2: decoded hpack field header field ":authority" = "somebody:1"\n')
