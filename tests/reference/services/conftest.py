"""Real members, ours and etcd's, and a client that says of every call exactly what came back."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from google.protobuf.json_format import MessageToDict

RELEASE = "3.7.1"
START_SECONDS = 30.0
VOLATILE = {"cluster_id", "member_id", "raft_term", "raftTerm"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_etcd() -> str | None:
    for candidate in (os.environ.get("GAUNTLET_TEST_ETCD"), shutil.which("etcd")):
        if candidate:
            said = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
            if f"etcd Version: {RELEASE}" in said.stdout:
                return candidate
    return None


class Client:
    """One connection. A call gives ("OK", response as a dictionary) or (code, message)."""

    def __init__(self, port: int, credentials: grpc.ChannelCredentials | None = None) -> None:
        options = [("grpc.enable_retries", 0)]
        target = f"localhost:{port}" if credentials else f"127.0.0.1:{port}"
        self.channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )

    def raw(
        self, path: str, request: Any, token: str | None = None, timeout: float = 10.0, **metadata: str
    ) -> Any:
        """The response, or grpc.RpcError."""
        info = services[f"/{path}"]
        call = self.channel.unary_unary(
            info.path, lambda message: message.SerializeToString(), info.response.FromString
        )
        pairs = [*metadata.items(), *([("token", token)] if token is not None else [])]
        return call(request, timeout=timeout, metadata=pairs)

    def __call__(self, path: str, request: Any, token: str | None = None, **more: Any) -> tuple[str, Any]:
        try:
            return "OK", shown(self.raw(path, request, token, **more))
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def later(self, path: str, request: Any, token: str | None = None, timeout: float = 20.0) -> Later:
        """Starts a call that may block."""
        info = services[f"/{path}"]
        call = self.channel.unary_unary(
            info.path, lambda message: message.SerializeToString(), info.response.FromString
        )
        metadata = [("token", token)] if token is not None else []
        return Later(call.future(request, timeout=timeout, metadata=metadata))

    def token(self, name: str, password: str) -> str:
        request = pb.AuthenticateRequest(name=name, password=password)
        return str(self.raw("etcdserverpb.Auth/Authenticate", request).token)

    def stream(self, path: str, *requests: Any, token: str | None = None, **metadata: str) -> Stream:
        return Stream(self, path, requests, token, metadata)

    def close(self) -> None:
        self.channel.close()


class Later:
    """A call under way."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def done(self) -> bool:
        return bool(self.call.done())

    def result(self) -> tuple[str, Any]:
        try:
            return "OK", shown(self.call.result())
        except grpc.RpcError as error:
            return error.code().name, error.details()
        except grpc.FutureCancelledError:
            return "CANCELLED", ""


class Stream:
    """A streaming call: requests may be added, responses are taken one by one."""

    def __init__(
        self,
        client: Client,
        path: str,
        requests: tuple[Any, ...],
        token: str | None,
        metadata: dict[str, str],
    ) -> None:
        info = services[f"/{path}"]
        pairs = [*metadata.items(), *([("token", token)] if token is not None else [])]

        def encode(message: Any) -> bytes:
            return bytes(message.SerializeToString())

        self._out: queue.Queue[Any] = queue.Queue()
        for request in requests:
            self._out.put(request)
        if info.client_streaming:
            multi = client.channel.stream_stream(info.path, encode, info.response.FromString)
            self.call = multi(iter(self._out.get, None), timeout=30, metadata=pairs)
        else:
            single = client.channel.unary_stream(info.path, encode, info.response.FromString)
            self.call = single(requests[0], timeout=30, metadata=pairs)

    def send(self, request: Any) -> None:
        self._out.put(request)

    def next(self) -> tuple[str, Any]:
        """The next response, or how the call ended."""
        try:
            return "OK", shown(next(self.call))
        except StopIteration:
            return "END", ""
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def close(self) -> None:
        self._out.put(None)
        self.call.cancel()


def shown(message: Any) -> Any:
    """A response as a dictionary, without what differs between clusters."""
    return strip(MessageToDict(message, preserving_proto_field_name=True))


def strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strip(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [strip(item) for item in value]
    return value


class Process:
    """A member in its own process; `command` is how its kind is started."""

    def __init__(self, command: list[str], directory: Path, name: str, flags: list[str]) -> None:
        self.name = name
        self.directory = directory
        self.client_port, self.peer_port = free_port(), free_port()
        self.flags = flags
        self.command = command
        self.scheme = "http"
        self.child: subprocess.Popen[bytes] | None = None
        self.log = directory / f"{name}.log"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    def start(self, cluster: str | None = None, *more: str) -> None:
        url = f"{self.scheme}://127.0.0.1:{self.client_port}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}
        arguments = [
            f"--name={self.name}",
            f"--data-dir={self.directory / self.name}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={cluster or f'{self.name}={self.peer_url}'}",
            *self.flags,
            *more,
        ]
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [*self.command, *arguments], stdout=log, stderr=log, env=environment, cwd=self.directory
            )

    def wait(self) -> None:
        """Until it answers."""
        client = Client(self.client_port)
        pause = threading.Event()
        try:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline:
                assert self.child is not None
                assert self.child.poll() is None, self.log.read_text()[-3000:]
                code, _ = client("etcdserverpb.KV/Range", pb.RangeRequest(key=b"ready"), timeout=1)
                if code in ("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION"):
                    return
                pause.wait(0.05)
            raise AssertionError(f"{self.name} does not answer:\n{self.log.read_text()[-3000:]}")
        finally:
            client.close()

    def kill(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
        if self.child is not None:
            self.child.wait()

    def stop(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
        self.kill_after(5)

    def kill_after(self, seconds: float) -> None:
        if self.child is not None:
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()


class Kind:
    """Ours or etcd's: makes members."""

    def __init__(self, label: str, command: list[str], directory: Path) -> None:
        self.label = label
        self.command = command
        self.directory = directory / label
        self.directory.mkdir()
        self.members: list[Process] = []

    def member(self, name: str = "m1", *flags: str) -> Process:
        member = Process(self.command, self.directory, name, list(flags))
        self.members.append(member)
        return member

    def close(self) -> None:
        for member in self.members:
            member.kill()


@pytest.fixture
def kinds(tmp_path: Path) -> Iterator[list[Kind]]:
    """Our node and the real etcd, to be given the same. Skips where there is no etcd."""
    etcd = find_etcd()
    if etcd is None:
        pytest.skip(f"no etcd {RELEASE}: set GAUNTLET_TEST_ETCD or put it on PATH")
    ours = Kind("ours", [sys.executable, "-m", "gauntlet.reference.server.main"], tmp_path)
    real = Kind("real", [etcd], tmp_path)
    yield [ours, real]
    ours.close()
    real.close()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Kind]:
    kind = Kind("ours", [sys.executable, "-m", "gauntlet.reference.server.main"], tmp_path)
    yield kind
    kind.close()


Script = Callable[[Client], list[Any]]


@pytest.fixture
def same(kinds: list[Kind]) -> Iterator[Callable[..., None]]:
    """Runs a script against one member of each kind and compares what it noted, step by step."""
    with contextlib.ExitStack() as stack:

        def compare(script: Script, *flags: str) -> None:
            members = [kind.member("m1", *flags) for kind in kinds]
            for member in members:
                member.start()
            notes = []
            for member in members:
                member.wait()
                client = Client(member.client_port)
                stack.callback(client.close)
                notes.append(script(client))
            compare_notes(*notes)

        yield compare


def compare_notes(ours: list[Any], real: list[Any]) -> None:
    for number, (mine, theirs) in enumerate(zip(ours, real, strict=True)):
        assert mine == theirs, f"step {number}: ours {mine!r}, etcd {theirs!r}"


@pytest.fixture
def notes_equal() -> Callable[[list[Any], list[Any]], None]:
    return compare_notes


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def make(port: int, credentials: grpc.ChannelCredentials | None = None) -> Client:
        clients.append(Client(port, credentials))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
