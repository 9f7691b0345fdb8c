"""A real etcd of the release the reference follows, for the tests that compare."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from gauntlet.api.messages import services
from google.protobuf.message import Message

RELEASE = "3.7.1"
START_SECONDS = 30.0
CALL_SECONDS = 20.0


class Upstream:
    """Calls to a running etcd through channels of our own: a path, a message, a message."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._calls: dict[str, Callable[..., Any]] = {}

    def call(self, path: str, request: Message) -> Message | tuple[int, str]:
        """The response, or code and text of the error."""
        method = services[path]
        if path not in self._calls:
            self._calls[path] = self._channel.unary_unary(
                path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        try:
            response: Message = self._calls[path](request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            return error.code().value[0], error.details()
        return response

    def stream(self, path: str, requests: Iterator[Message]) -> Any:
        method = services[path]
        return self._channel.stream_stream(
            path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )(requests, timeout=CALL_SECONDS)


def find_etcd() -> str:
    """The path of an etcd of the right release; skips the test where there is none."""
    candidates = [
        os.environ.get("GAUNTLET_TEST_ETCD"),
        shutil.which("etcd"),
        str(Path.home() / ".cache" / "gauntlet" / "etcd" / RELEASE / "etcd"),
    ]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            shown = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=20)
            if f"etcd Version: {RELEASE}" in shown.stdout:
                return candidate
    pytest.skip(f"no etcd {RELEASE} in GAUNTLET_TEST_ETCD, on PATH or in the cache")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    binary = find_etcd()
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    with (tmp_path / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                *("--name", "m", "--data-dir", str(tmp_path / "data"), "--unsafe-no-fsync"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"m={peer}", "--log-level", "error"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with grpc.insecure_channel(client.removeprefix("http://")) as channel:
            grpc.channel_ready_future(channel).result(timeout=START_SECONDS)
            yield Upstream(channel)
    finally:
        process.kill()
        process.wait()
