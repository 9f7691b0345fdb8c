"""Members of the reference node for the tests of the suite, and a relay that alters what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from gauntlet.harness.conformance.arena import Arena
from gauntlet.harness.conformance.case import Needs
from gauntlet.harness.conformance.talk import Place

Alter = Callable[[str, bytes], bytes]  # the path of the call and one answer's bytes; what goes on instead


class Relay(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """A gRPC server that passes every call on, and every answer through `alter`."""

    def __init__(self, address: str, alter: Alter) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._alter = alter
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))

    async def start(self) -> str:
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        await self._server.stop(0)
        await self._channel.close()

    def service(self, details: Any) -> Any:
        path, metadata = details.method, details.invocation_metadata

        async def relay(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            own = [
                (key, value) for key, value in metadata if not key.startswith((":", "grpc-", "user-agent"))
            ]
            call = self._channel.stream_stream(path)(requests, metadata=own)
            try:
                async for answer in call:
                    yield self._alter(path, answer)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")

        return grpc.stream_stream_rpc_method_handler(relay)


class AlteredArena(Arena):
    """The clusters of a target behind relays."""

    def __init__(self, spec: str, folder: Path, alter: Alter) -> None:
        super().__init__(spec, folder, "embedded")
        self._alter = alter
        self._relays: dict[str, tuple[Relay, str]] = {}

    async def place(self, needs: Needs) -> Place:
        place = await super().place(needs)
        addresses = {}
        for name, address in place.addresses.items():
            if address not in self._relays:
                relay = Relay(address, self._alter)
                self._relays[address] = (relay, await relay.start())
            addresses[name] = self._relays[address][1]
        return Place(addresses, place.version, pages=place.addresses)

    async def close(self) -> None:
        for relay, _ in self._relays.values():
            await relay.stop()
        await super().close()


class Stage:
    """An event loop and the arenas made in it."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self._folder = folder
        self._arenas: list[Arena] = []

    def arena(self, alter: Alter | None = None) -> Arena:
        folder = self._folder / f"arena-{len(self._arenas)}"
        made = (
            Arena("reference", folder, "embedded")
            if alter is None
            else AlteredArena("reference", folder, alter)
        )
        self._arenas.append(made)
        return made

    def close(self) -> None:
        try:
            for arena in self._arenas:
                self.runner.run(arena.close())
        finally:
            self.runner.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    try:
        yield stage
    finally:
        stage.close()
