"""Target `endpoints:HOST:PORT,...`: somebody's cluster. Only the clients' own links are ours to break."""

from __future__ import annotations

import contextlib
import json
import os

from gauntlet.harness.targets import http
from gauntlet.harness.targets.base import NETWORK, Member, Target, TargetOptions, TargetSpecError
from gauntlet.harness.targets.links import CLIENT, Links
from gauntlet.harness.tools.ports import PortPool
from gauntlet.harness.toxiproxy.launch import ToxiproxyServer, start_toxiproxy


class RemoteMember(Member):
    """A member that we can only talk to."""


def parse_endpoints(spec: str) -> list[str]:
    """`HOST:PORT,HOST:PORT` as a list; TargetSpecError names the one that is not."""
    found = []
    for part in spec.split(","):
        endpoint = part.strip()
        host, colon, port = endpoint.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise TargetSpecError(f"{endpoint!r} is not HOST:PORT (in --target endpoints:HOST:PORT,...)")
        if host.startswith("http"):
            raise TargetSpecError(f"{endpoint!r}: give HOST:PORT without a scheme")
        if endpoint in found:
            raise TargetSpecError(f"{endpoint} is given twice")
        found.append(endpoint)
    return found


class EndpointsTarget(Target):
    def __init__(self, spec: str, options: TargetOptions) -> None:
        super().__init__(spec, options)
        self._addresses = parse_endpoints(spec.removeprefix("endpoints:"))
        self.toxiproxy: ToxiproxyServer | None = None
        self._ports: PortPool | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset((NETWORK,))

    @property
    def member_names(self) -> list[str]:
        return [f"m{number}" for number in range(1, len(self._addresses) + 1)]

    async def start(self) -> None:
        self.options.directory.mkdir(parents=True, exist_ok=True)
        server = await start_toxiproxy(self.options.toxiproxy, self.options.directory / "toxiproxy.log")
        self.toxiproxy = server
        prefix = "" if server.child is not None else f"gauntlet-{os.getpid()}-"
        self._links = Links(server.client(), None, prefix)
        self._ports = PortPool()
        for name, address in zip(self.member_names, self._addresses, strict=True):
            listen = f"127.0.0.1:{self._ports.take()}" if server.is_local else "0.0.0.0:0"
            link = await self._links.create(CLIENT, "client", name, address, listen)
            host = link.listen[0] if server.is_local else server.host
            self.members[name] = RemoteMember(name, f"{host}:{link.listen[1]}", address, None)
        await self.wait_healthy(self.options.start_timeout)
        for name, member in self.members.items():
            host, _, port = member.direct.rpartition(":")
            with contextlib.suppress(OSError, ValueError):
                answer = await http.get(host.strip("[]"), int(port), "/version", 3.0)
                member.version = str(json.loads(answer.body).get("etcdserver", ""))
            self.versions[name] = member.version

    async def stop(self) -> None:
        links, self._links = self._links, None
        server, self.toxiproxy = self.toxiproxy, None
        if links is not None:
            await links.close(delete=server is not None and server.child is None)
        if server is not None:
            await server.stop()
        if self._ports is not None:
            self._ports.close()
            self._ports = None
