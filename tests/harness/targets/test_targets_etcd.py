"""Clusters of unmodified etcd, every link through Toxiproxy."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.targets import MemberDied, Target, TargetError, TargetOptions, create_target
from gauntlet.harness.targets.cluster import LocalCluster, process_state
from gauntlet.harness.targets.links import PEER
from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.find import find_etcd
from gauntlet.harness.toxiproxy.launch import start_toxiproxy

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

Run = Callable[[Coroutine[Any, Any, None]], None]


async def put(target: Target, member: str, key: bytes, value: bytes) -> None:
    client = EtcdClient(target.endpoints[member])
    try:
        await client.put(key, value, timeout=5.0)
    finally:
        await client.close()


async def get(target: Target, member: str, key: bytes) -> bytes:
    client = EtcdClient(target.endpoints[member])
    try:
        found = await client.get(key, timeout=5.0)
    finally:
        await client.close()
    return bytes(found.kvs[0].value) if found.kvs else b""


async def leader(target: Target) -> str | None:
    """Who leads, as the members themselves say, past the client links."""
    for name, endpoint in target.direct_endpoints.items():
        client = EtcdClient(endpoint)
        try:
            status = await client.status(timeout=2.0)
        finally:
            await client.close()
        if status.leader == status.header.member_id:
            return name
    return None


async def eventually(condition: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what we wait for is in other processes
            await asyncio.sleep(0.05)


def read(pid: int | None, *names: str) -> list[bytes]:
    return [Path(f"/proc/{pid}/{name}").read_bytes() for name in names]


def gone(pids: list[int]) -> bool:
    return all(process_state(pid) in (None, "Z") for pid in pids)


def test_links_carry_everything(etcd: str, options: TargetOptions, run: Run) -> None:
    async def main() -> None:
        target = create_target(etcd, options)
        async with target:
            assert target.versions == {"m1": "3.7.1", "m2": "3.7.1", "m3": "3.7.1"}
            await put(target, "m1", b"k", b"v")
            assert await get(target, "m3", b"k") == b"v"
            counts = await target.links.counts()
            assert len(counts) == 6
            assert all(count.opened > 0 for count in counts.values())
            # No member talks to another past its links: every peer connection goes to an advertised address.
            assert isinstance(target, LocalCluster)
            lookups = await target.switchboard_lookups()
            assert lookups["strangers"] == 0
            assert lookups["total_us"] / lookups["count"] < 20_000
            pids = [member.pid or 0 for member in target.members.values()]
        assert gone(pids)
        assert (options.directory / "m1.log").stat().st_size > 0

    run(main())


def test_cut_leaves_the_other_links_and_heals(etcd: str, options: TargetOptions, run: Run) -> None:
    async def main() -> None:
        target = create_target(etcd, options)
        async with target:
            links = target.links
            others = [link for link in links.all(PEER) if link.target != "m3" and link.dialer != "m3"]
            await links.block("f1", [link for link in links.all(PEER) if link not in others])
            assert not await target.members["m3"].is_healthy(1.0)
            await eventually(lambda: target.members["m1"].is_healthy(1.0))
            await put(target, "m1", b"k", b"while m3 is away")
            counts = await links.counts()
            assert counts["m3", "m1"].refused > 0
            await links.release("f1")
            await target.wait_healthy(15.0)
            assert await get(target, "m3", b"k") == b"while m3 is away"

    run(main())


def test_a_leader_that_is_not_heard_is_replaced(etcd: str, options: TargetOptions, run: Run) -> None:
    """mute is one direction: the leader still hears the others, who do not hear it and elect another."""

    async def main() -> None:
        target = create_target(etcd, options)
        async with target:
            first = await leader(target)
            assert first is not None
            for other in target.members:
                if other != first:
                    await target.links.mute("f1", first, other)

            async def replaced() -> bool:
                return await leader(target) not in (None, first)

            await eventually(replaced)
            await target.links.release("f1")
            await target.wait_healthy(15.0)
            assert await target.links.unclean() == []

    run(main())


def test_a_silenced_client_link_hides_the_answer_not_the_deed(
    etcd: str, options: TargetOptions, run: Run
) -> None:
    async def main() -> None:
        target = create_target(etcd, dataclasses.replace(options, nodes=1))
        async with target:
            await put(target, "m1", b"k", b"before")
            link = target.links.client("m1")
            from gauntlet.harness.targets.links import SWALLOW_DOWN

            await target.links.poison("f1", [link], [SWALLOW_DOWN])
            assert (await target.links.probe(link, 0.3))["result"] == "stalled"
            await target.links.release("f1")
            assert await get(target, "m1", b"k") == b"before"

    run(main())


def test_processes(etcd: str, options: TargetOptions, run: Run) -> None:
    async def main() -> None:
        target = create_target(etcd, options)
        async with target:
            await put(target, "m1", b"k", b"v")
            m1 = target.members["m1"]
            pid = m1.pid
            assert pid is not None
            await m1.kill()
            assert m1.pid is None
            assert gone([pid])
            with pytest.raises(TargetError):
                await m1.kill()
            await m1.restart()
            with pytest.raises(TargetError):
                await m1.restart()
            assert m1.pid not in (None, pid)
            await target.wait_healthy(15.0)
            assert await get(target, "m1", b"k") == b"v"
            await m1.pause()
            assert process_state(m1.pid or 0) == "T"
            assert (m1.running, m1.paused) == (False, True)
            assert not await m1.is_healthy(0.3)
            await m1.resume()
            await target.wait_healthy(15.0)
            m2 = target.members["m2"]
            assert await m2.terminate(20.0) in (0, -signal.SIGTERM, -signal.SIGKILL)
            assert m2.pid is None
            await m2.restart()
            await target.wait_healthy(15.0)
            target.check()
            m3 = target.members["m3"]
            await m3.pause()  # and stopped while it is paused
        assert m3.pid is None

    run(main())


def test_kill_all_keeps_the_data(etcd: str, options: TargetOptions, run: Run) -> None:
    async def main() -> None:
        target = create_target(etcd, options)
        async with target:
            await put(target, "m2", b"k", b"v")
            for member in target.members.values():
                await member.kill()
            for member in target.members.values():
                await member.restart()
            await target.wait_healthy(20.0)
            assert await get(target, "m3", b"k") == b"v"

    run(main())


def test_a_member_that_dies_by_itself_is_noticed(etcd: str, options: TargetOptions, run: Run) -> None:
    async def main() -> None:
        target = create_target(etcd, options)
        async with target:
            target.check()
            os.kill(target.members["m2"].pid or 0, signal.SIGKILL)

            async def noticed() -> bool:
                return target.members["m2"].pid is None

            await eventually(noticed)
            await asyncio.sleep(0)
            with pytest.raises(MemberDied, match=r"m2 \(pid \d+\) ended by itself with signal 9") as caught:
                await target.wait_healthy(10.0)
            assert "ready to serve" in caught.value.detail or caught.value.detail

    run(main())


def test_a_cluster_that_does_not_start_says_why_and_leaves_nothing(
    etcd: str, options: TargetOptions, run: Run
) -> None:
    async def main() -> None:
        wrong = dataclasses.replace(options, flags=("--no-such-flag",))
        target = create_target(etcd, wrong)
        with pytest.raises(MemberDied, match="did not start") as caught:
            async with target:
                pass
        assert "no-such-flag" in caught.value.detail
        stuck = dataclasses.replace(
            options,
            directory=options.directory / "2",
            member_env={"m1": {"ETCD_NO": "x"}},
            start_timeout=0.01,
        )
        target = create_target(etcd, stuck)
        with pytest.raises(TargetError, match=r"does not serve.* after 0 s"):
            async with target:
                pass
        assert all(member.pid is None for member in target.members.values())

    run(main())


def test_flags_and_environment_reach_the_member(etcd: str, options: TargetOptions, run: Run) -> None:
    async def main() -> None:
        chosen = dataclasses.replace(
            options,
            nodes=1,
            flags=("--max-txn-ops=7",),
            member_flags={"m1": ("--log-level=debug",)},
            env={"WORD": "everybody"},
            member_env={"m1": {"WORD": "m1"}},
        )
        target = create_target(etcd, chosen)
        async with target:
            pid = target.members["m1"].pid
            environment, command = await asyncio.to_thread(read, pid, "environ", "cmdline")
            assert b"WORD=m1" in environment.split(b"\0")
            assert b"--max-txn-ops=7" in command
            assert b"--log-level=debug" in command

    run(main())


def test_a_running_toxiproxy_is_used_and_left_clean(
    etcd: str, options: TargetOptions, run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        server = await start_toxiproxy(options.toxiproxy, tmp_path / "own.log")
        target = create_target(etcd, dataclasses.replace(options, toxiproxy=server.url))
        async with target:
            await put(target, "m1", b"k", b"v")
        api = server.client()
        assert await asyncio.to_thread(api.proxies) == {}
        api.close()
        await server.stop()

    run(main())


def test_endpoints(etcd: str, options: TargetOptions, run: Run) -> None:
    async def main() -> None:
        cluster = create_target(etcd, options)
        async with cluster:
            addresses = ",".join(cluster.direct_endpoints.values())
            target = create_target(
                f"endpoints:{addresses}", dataclasses.replace(options, directory=options.directory / "e")
            )
            async with target:
                assert target.versions == cluster.versions
                await put(target, "m2", b"k", b"v")
                await target.links.block("f1", [target.links.client("m2")])
                assert not await target.members["m2"].is_healthy(0.5, through_link=True)
                assert await target.members["m2"].is_healthy(2.0)
                await target.links.release("f1")
                await target.wait_healthy(10.0)
                with pytest.raises(TargetError, match="not a process of ours"):
                    await target.members["m1"].kill()
            cluster.check()

    run(main())


@pytest.mark.parametrize("spec", ["etcd:3.6.14", "etcd:3.5.33", "etcd:3.5.1", "etcd:3.4.23"])
def test_other_versions(spec: str, options: TargetOptions, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with monkeypatch.context() as patched:
            patched.setattr("gauntlet.harness.tools.build.find_go", _no_go)
            version = find_etcd(spec, print).version
    except ToolError as error:
        pytest.skip(str(error))

    async def main() -> None:
        target = create_target(spec, options)
        async with target:
            assert set(target.versions.values()) == {version}
            await target.links.cut("f1", "m1", "m2")
            await target.links.mute("f2", "m2", "m3")
            await target.links.release_all()
            await target.wait_healthy(15.0)
            await put(target, "m1", b"k", b"v")
            assert await get(target, "m2", b"k") == b"v"

    run(main())


def _no_go(purpose: str) -> str:
    raise ToolError(f"{purpose}: tests do not build")


HARNESS = """
import asyncio, sys
from pathlib import Path
from gauntlet.harness.targets import TargetOptions, create_target

async def main():
    target = create_target(sys.argv[1], TargetOptions(directory=Path(sys.argv[2])))
    async with target:
        pids = [member.pid for member in target.members.values()]
        print(*pids, target.toxiproxy.child.pid, target._switchboard._child.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_orphans(etcd: str, tmp_path: Path, run: Run, number: signal.Signals) -> None:
    async def main() -> None:
        harness = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            HARNESS,
            etcd,
            str(tmp_path / "members"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert harness.stdout is not None
        pids = [int(word) for word in (await harness.stdout.readline()).split()]
        assert len(pids) == 5
        assert not gone(pids)
        harness.send_signal(number)
        await harness.wait()

        async def ended() -> bool:
            return gone(pids)

        await eventually(ended, 5.0)

    run(main())
