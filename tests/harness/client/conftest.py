"""A member of real etcd, where there is a binary."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gauntlet.harness.client import EtcdClient


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def etcd_binary() -> Path | None:
    candidates = [
        os.environ.get("GAUNTLET_TEST_ETCD"),
        shutil.which("etcd"),
        str(Path.home() / ".cache" / "gauntlet" / "etcd" / "3.7.1" / "etcd"),
    ]
    return next((Path(name) for name in candidates if name and Path(name).is_file()), None)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One member on free ports, its data in a temporary folder; gives its client endpoint."""
    binary = etcd_binary()
    if binary is None:
        pytest.skip("no etcd: set GAUNTLET_TEST_ETCD, or have it on PATH")
    folder = tmp_path_factory.mktemp("etcd")
    client, peer = (f"http://127.0.0.1:{unused_port()}" for _ in range(2))
    arguments = [
        *("--name", "m1", "--data-dir", str(folder / "data"), "--log-level", "warn"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"m1={peer}"),
    ]

    async def up() -> None:
        async with EtcdClient(client, timeout=5) as probe:
            await probe.ready(20)
            await probe.get(b"k")

    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(binary), *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            asyncio.run(up())
            yield client
        finally:
            process.kill()
            process.wait(10)
