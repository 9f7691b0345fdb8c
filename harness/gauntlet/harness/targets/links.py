"""Every link of a cluster, and what is done to each at the moment.

A link is one Toxiproxy proxy: `client-m1` from the clients to m1, `peer-m1-m2` for connections that m1 dials
to m2. Messages between members flow both ways on both (m1, m2) and (m2, m1): **the receiver dials**, so what
m1 says to m2 runs down m2's connections to m1 and up m1's connections to m2.

Rules:
1. Effects have holders (fault ids). A link is blocked while anybody blocks it; toxics carry their holder's
   name. Releasing a holder takes away what it holds and nothing else, so overlapping faults compose.
2. An effect is noted before it is applied, and forgotten after it was undone, so a call that fails halfway is
   undone by releasing its holder again.
3. Bytes are never dropped from the middle of a stream. A muted direction is a `timeout` toxic of 0 ms: it
   swallows everything from some point on, and its removal closes the connection, so nothing ever follows the
   gap and both ends dial anew at once, as after a real partition. (A bandwidth toxic of rate 0 stalls too,
   but the real server needs 5 s to take it off a link whose ends have hung up.)
4. Calls to the server go one after the other through one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from gauntlet.harness.targets import http
from gauntlet.harness.targets.switchboard_client import LinkCount, SwitchboardClient
from gauntlet.harness.toxiproxy.adapter import ProxyState, Toxiproxy, ToxiproxyError, ToxiproxyRefused
from gauntlet.harness.toxiproxy.toxics import DOWNSTREAM, UPSTREAM

P = ParamSpec("P")
R = TypeVar("R")

CLIENT, PEER = "client", "peer"
_ENABLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Link:
    """Connections that `dialer` ("client" or a member) opens to `target`."""

    name: str
    kind: str
    dialer: str
    target: str
    listen: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Toxic:
    """A toxic to put on a link; units as in toxiproxy/toxics.py."""

    type: str
    stream: str
    attributes: Mapping[str, int]
    toxicity: float = 1.0


SWALLOW_UP = Toxic("timeout", UPSTREAM, {"timeout": 0})
SWALLOW_DOWN = Toxic("timeout", DOWNSTREAM, {"timeout": 0})


@dataclass(slots=True)
class _Held:
    """What one holder does to one link."""

    block: bool = False
    toxics: dict[str, Toxic] = field(default_factory=dict)


class Links:
    def __init__(self, api: Toxiproxy, switchboard: SwitchboardClient | None, prefix: str = "") -> None:
        self._api = api
        self._switchboard = switchboard
        self._prefix = prefix
        self._links: dict[str, Link] = {}
        self._held: dict[str, dict[str, _Held]] = {}
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="toxiproxy")

    async def create(self, kind: str, dialer: str, target: str, upstream: str, listen: str) -> Link:
        """Makes the proxy. Port 0 lets the server choose."""
        name = self._prefix + (f"client-{target}" if kind == CLIENT else f"peer-{dialer}-{target}")
        state = await self._call(self._api.create, name, upstream, listen)
        host, _, port = state.listen.rpartition(":")
        link = Link(name, kind, dialer, target, (listen.rpartition(":")[0] or host, int(port)))
        self._links[name] = link
        self._held[name] = {}
        return link

    async def close(self, delete: bool = False) -> None:
        """Ends our use of the server; `delete` takes our proxies away, for a server that lives on."""
        try:
            if delete:
                for name in list(self._links):
                    with contextlib.suppress(ToxiproxyError):
                        await self._call(self._api.delete, name)
        finally:
            self._links.clear()
            self._thread.shutdown(wait=False)
            self._api.close()

    def client(self, member: str) -> Link:
        return self._links[f"{self._prefix}client-{member}"]

    def peer(self, dialer: str, target: str) -> Link:
        return self._links[f"{self._prefix}peer-{dialer}-{target}"]

    def all(self, kind: str | None = None) -> list[Link]:
        return [link for link in self._links.values() if kind in (None, link.kind)]

    # What can be done to links.

    async def block(self, holder: str, links: Iterable[Link]) -> None:
        """Kills the links' connections and refuses new ones."""
        async with self._lock:
            for link in links:
                held = self._held[link.name]
                held.setdefault(holder, _Held()).block = True
                await self._call(self._api.disable, link.name)

    async def poison(self, holder: str, links: Iterable[Link], toxics: Iterable[Toxic]) -> None:
        """Adds toxics to each of the links."""
        wanted = list(toxics)
        async with self._lock:
            for link in links:
                held = self._held[link.name].setdefault(holder, _Held())
                for toxic in wanted:
                    name = f"{holder}-{toxic.type}-{toxic.stream}"
                    held.toxics[name] = toxic
                    await self._call(
                        self._api.add_toxic,
                        link.name,
                        toxic.type,
                        name=name,
                        stream=toxic.stream,
                        toxicity=toxic.toxicity,
                        attributes=toxic.attributes,
                    )

    async def cut(self, holder: str, first: str, second: str) -> None:
        """Nothing passes between two members, either way."""
        await self.block(holder, [self.peer(first, second), self.peer(second, first)])

    async def mute(self, holder: str, source: str, target: str) -> None:
        """Nothing that `source` says reaches `target`; the other way stays open."""
        await self.poison(holder, [self.peer(target, source)], [SWALLOW_DOWN])
        await self.poison(holder, [self.peer(source, target)], [SWALLOW_UP])

    async def bounce(self, links: Iterable[Link]) -> None:
        """Kills the links' connections; new ones are welcome at once."""
        async with self._lock:
            for link in links:
                if not self._is_blocked(link.name):
                    await self._call(self._api.disable, link.name)
                    await self._enable(link.name)

    async def reopen(self, links: Iterable[Link]) -> None:
        """Enables those of the links that nobody blocks: a bounce may have been cut short."""
        async with self._lock:
            for link in links:
                if not self._is_blocked(link.name):
                    await self._enable(link.name)

    async def release(self, holder: str) -> None:
        """Takes away whatever this holder does to any link. May be called again after an error."""
        async with self._lock:
            for name in [name for name, held in self._held.items() if holder in held]:
                await self._release(name, holder)

    async def release_all(self) -> None:
        """Takes away everything anybody does, going on past errors; the first error is raised at the end."""
        first: ToxiproxyError | None = None
        for holder in sorted({holder for held in self._held.values() for holder in held}):
            try:
                await self.release(holder)
            except ToxiproxyError as error:
                first = first or error
        if first is not None:
            raise first

    async def _release(self, name: str, holder: str) -> None:
        held = self._held[name][holder]
        others = any(other.block for who, other in self._held[name].items() if who != holder)
        for toxic in list(held.toxics):
            try:
                await self._call(self._api.remove_toxic, name, toxic)
            except ToxiproxyRefused as error:
                if error.status != 404:  # it was never put there: the call that added it failed
                    raise
            del held.toxics[toxic]
        if held.block and not others:
            await self._enable(name)
        del self._held[name][holder]

    async def _enable(self, name: str) -> None:
        """Listens again on the same port, which somebody may hold for a moment."""
        deadline = time.monotonic() + _ENABLE_SECONDS
        while True:
            try:
                await self._call(self._api.enable, name)
                return
            except ToxiproxyRefused as error:
                if error.status < 500 or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)

    def _is_blocked(self, name: str) -> bool:
        return any(held.block for held in self._held[name].values())

    # What can be known about links.

    async def state(self, link: Link) -> ProxyState:
        return await self._call(self._api.proxy, link.name)

    async def unclean(self) -> list[str]:
        """What is wrong with our links as the server sees them; empty when all of them are plain."""
        states = await self._call(self._api.proxies)
        problems = []
        for name in self._links:
            state = states.get(name)
            if state is None:
                problems.append(f"{name} is missing")
            elif not state.enabled:
                problems.append(f"{name} is disabled")
            elif state.toxics:
                problems.append(f"{name} has {', '.join(toxic.name for toxic in state.toxics)}")
        return problems

    async def counts(self) -> dict[tuple[str, str], LinkCount]:
        """What went through each member link; empty where there is no switchboard."""
        return await self._switchboard.counts() if self._switchboard is not None else {}

    async def probe(self, link: Link, timeout: float = 0.5) -> dict[str, Any]:
        """One small request through the link: answered, refused, closed or stalled, and the ms it took."""
        begin = time.perf_counter()
        try:
            answer = await http.get(*link.listen, "/version", timeout, close=False)
            result: dict[str, Any] = {"result": "answered", "status": answer.status}
        except TimeoutError:
            result = {"result": "stalled"}
        except ConnectionRefusedError:
            result = {"result": "refused"}
        except OSError:
            result = {"result": "closed"}
        result["ms"] = round((time.perf_counter() - begin) * 1000, 1)
        return result

    async def _call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._thread, functools.partial(function, *args, **kwargs))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            # The request is on its way and will be carried out; what follows must see its outcome.
            with contextlib.suppress(ToxiproxyError):
                await call
            raise
