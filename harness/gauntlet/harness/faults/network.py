"""Faults of the network: effects on directed links (targets/links.py), held under the fault's id."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from gauntlet.harness.faults.base import Fault, FaultContext, Params, Refused
from gauntlet.harness.targets.links import CLIENT, PEER, SWALLOW_DOWN, SWALLOW_UP, Link, Toxic
from gauntlet.harness.targets.switchboard_client import LinkCount
from gauntlet.harness.toxiproxy.toxics import DOWNSTREAM, UPSTREAM

_PROBES = 2  # links that evidence tries; the state of all of them is read back
_PATIENCE = 0.4  # seconds after which a probe counts as stalled
Effect = tuple[Link, list[Toxic] | None]  # None blocks the link


class LinkFault(Fault):
    """Puts effects on links; what they are is the subclass's business."""

    def __init__(self, id: str, params: Params, context: FaultContext) -> None:
        super().__init__(id, params, context)
        self._effects: list[Effect] = []
        self._before: dict[tuple[str, str], LinkCount] = {}

    @abstractmethod
    def effects(self) -> Iterable[Effect]:
        """Evaluated once, when the fault starts."""

    async def start(self) -> None:
        self._effects = list(self.effects())
        self.targets = sorted({f"{link.dialer}>{link.target}" for link, _ in self._effects})
        self._before = await self.target.links.counts()
        for link, toxics in self._effects:
            if toxics is None:
                await self.target.links.block(self.id, [link])
            else:
                await self.target.links.poison(self.id, [link], toxics)

    async def heal(self) -> None:
        await self.target.links.release(self.id)

    async def evidence(self) -> dict[str, Any]:
        links = self.target.links
        reads, bit = [], bool(self._effects)
        for link, toxics in self._effects:
            state = await links.state(link)
            if toxics is None:
                taken = not state.enabled
            else:
                ours = [toxic.name for toxic in state.toxics if toxic.name.startswith(f"{self.id}-")]
                taken = len(ours) == len(toxics)
            reads.append(
                {"link": link.name, "enabled": state.enabled, "toxics": [t.as_json() for t in state.toxics]}
            )
            bit = bit and taken
        probed = [(link, toxics) for link, toxics in self._effects][:_PROBES]
        probes = await asyncio.gather(*(links.probe(link, self._patience(toxics)) for link, toxics in probed))
        bit = bit and all(
            self.shows(probe, toxics) for probe, (_, toxics) in zip(probes, probed, strict=True)
        )
        return {
            "bit": bit,
            "state": reads,
            "probes": [{"link": link.name, **probe} for (link, _), probe in zip(probed, probes, strict=True)],
            "traffic": await self._traffic(),
        }

    def shows(self, probe: dict[str, Any], toxics: list[Toxic] | None) -> bool:
        """Does what the probe met agree with the effect? Another fault may have made things worse."""
        if toxics is None:
            return bool(probe["result"] == "refused")
        least = sum(
            toxic.attributes["latency"] - toxic.attributes["jitter"]
            for toxic in toxics
            if toxic.type == "latency"
        )
        if probe["result"] != "answered":
            return True
        swallowed = any(toxic.type == "timeout" for toxic in toxics)
        return not swallowed and float(probe["ms"]) >= least

    def _patience(self, toxics: list[Toxic] | None) -> float:
        slow = sum(
            t.attributes["latency"] + t.attributes["jitter"] for t in toxics or () if t.type == "latency"
        )
        return _PATIENCE + slow / 1000

    async def _traffic(self) -> dict[str, dict[str, int]]:
        """Bytes and connections on the links since the fault started, as the switchboard counted them."""
        after = await self.target.links.counts()
        traffic = {}
        for link, _ in self._effects:
            key = (link.dialer, link.target)
            if key in after and key in self._before:
                old, new = self._before[key], after[key]
                traffic[link.name] = {
                    "up": new.up - old.up,
                    "down": new.down - old.down,
                    "opened": new.opened - old.opened,
                    "refused": new.refused - old.refused,
                }
        return traffic

    def between(self, first: str, second: str) -> list[Link]:
        return [self.target.links.peer(first, second), self.target.links.peer(second, first)]

    def around(self, members: Iterable[str]) -> list[Link]:
        """All member links that touch one of the members."""
        names = set(members)
        return [link for link in self.target.links.all(PEER) if link.dialer in names or link.target in names]

    def muted(self, source: str, target: str) -> list[Effect]:
        """What the source says does not arrive: it runs down one link and up the other."""
        links = self.target.links
        return [(links.peer(target, source), [SWALLOW_DOWN]), (links.peer(source, target), [SWALLOW_UP])]

    @property
    def members(self) -> list[str]:
        return list(self.target.members)


class Cut(LinkFault):
    """params: pair."""

    def effects(self) -> Iterable[Effect]:
        first, second = self.params["pair"]
        return [(link, None) for link in self.between(first, second)]


class Mute(LinkFault):
    """params: from, to."""

    def effects(self) -> Iterable[Effect]:
        return self.muted(self.params["from"], self.params["to"])


class Isolate(LinkFault):
    """params: member, perhaps `leader` with otherwise. Its clients still reach it."""

    def effects(self) -> Iterable[Effect]:
        return [(link, None) for link in self.around([self.member()])]


class Comeback(LinkFault):
    """params: member, otherwise, lag (seconds).

    A follower misses what is written for a while; then, in one step, it comes back, the leader is cut off
    instead, and the others are killed and restarted, so that they have forgotten whom they followed. So a
    member that lacks committed entries stands in the election first, and only raft's rule about logs keeps it
    from winning. `member` lags unless it leads; then `otherwise` does.
    """

    def __init__(self, id: str, params: Params, context: FaultContext) -> None:
        super().__init__(id, params, context)
        self._laggard = self._leader = ""
        self._restarting: list[str] = []  # members that this fault took down and has not brought back

    @property
    def _lag_id(self) -> str:
        return f"{self.id}-lag"

    async def start(self) -> None:
        if self.context.going_down:
            raise Refused(f"{', '.join(sorted(self.context.going_down))} is held by another fault")
        laggard = self.params["member"]
        if laggard == self.context.leader():
            laggard = self.params["otherwise"]
        self._laggard = str(laggard)
        await self.target.links.block(self._lag_id, self.around([self._laggard]))
        await asyncio.sleep(self.params["lag"])
        await super().start()
        others = [name for name in self.members if name not in (self._leader, self._laggard)]
        self._restarting = [name for name in others if name not in self.context.going_down]
        self.context.going_down.update(self._restarting)
        for name in list(self._restarting):
            await self.target.members[name].kill()
            await self._bring_back(name)
        await self.target.links.release(self._lag_id)

    def effects(self) -> Iterable[Effect]:
        leader = self.context.leader()
        if leader is None or leader == self._laggard:
            leader = next(name for name in self.members if name != self._laggard)
        self._leader = leader
        return [(link, None) for link in self.around([leader])]

    async def heal(self) -> None:
        await self.target.links.release(self._lag_id)
        await super().heal()
        for name in list(self._restarting):
            await self._bring_back(name)

    async def _bring_back(self, name: str) -> None:
        if self.target.members[name].pid is None:
            await self.target.members[name].restart()
        self._restarting.remove(name)
        self.context.going_down.discard(name)

    async def evidence(self) -> dict[str, Any]:
        return {"lagged": self._laggard, "cut_off": self._leader, **await super().evidence()}


class Split(LinkFault):
    """params: sides, two lists of members; nothing passes between them."""

    def effects(self) -> Iterable[Effect]:
        left, right = self.params["sides"]
        return [(link, None) for first in left for second in right for link in self.between(first, second)]


class Bridge(LinkFault):
    """params: bridge, sides. The sides hear each other only through the one member between them."""

    def effects(self) -> Iterable[Effect]:
        left, right = self.params["sides"]
        return [(link, None) for first in left for second in right for link in self.between(first, second)]


class Ring(LinkFault):
    """params: circle, all members in some order.

    From four members on, each hears only its two neighbours. Three members are neighbours all round, so
    there each hears only the one before it.
    """

    def effects(self) -> Iterable[Effect]:
        circle: list[str] = list(self.params["circle"])
        size = len(circle)
        effects: list[Effect] = []
        for at, member in enumerate(circle):
            if size == 3:
                effects += self.muted(circle[(at + 1) % size], member)
                continue
            for other in range(at + 2, size):
                if (at, other) != (0, size - 1):
                    effects += [(link, None) for link in self.between(member, circle[other])]
        return effects


class Slow(LinkFault):
    """params: member (or `all`), latency, jitter; ms, each way."""

    def effects(self) -> Iterable[Effect]:
        return [(link, delays(self.params)) for link in self.around(self.touched())]

    def touched(self) -> list[str]:
        return self.members if self.params["member"] == "all" else [self.member()]


class Narrow(LinkFault):
    """params: member, rate; KB/s on each of its links, each way."""

    def effects(self) -> Iterable[Effect]:
        return [(link, limits(self.params)) for link in self.around([self.member()])]


class Reset(Fault):
    """params: member (or `all`), every. Kills all its connections, again and again; new ones are welcome."""

    def __init__(self, id: str, params: Params, context: FaultContext) -> None:
        super().__init__(id, params, context)
        self._links: list[Link] = []
        self._task: asyncio.Task[None] | None = None
        self._times = 0
        self._before: dict[tuple[str, str], LinkCount] = {}

    def links(self) -> list[Link]:
        member = self.params["member"]
        return [
            link
            for link in self.target.links.all(PEER)
            if member == "all" or self.member() in (link.dialer, link.target)
        ]

    async def start(self) -> None:
        self._links = self.links()
        self.targets = sorted(f"{link.dialer}>{link.target}" for link in self._links)
        self._before = await self.target.links.counts()
        await self._bounce()
        self._task = asyncio.get_running_loop().create_task(self._again())

    async def heal(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        # A bounce that was cut short leaves its link closed.
        await self.target.links.reopen(self._links)

    async def evidence(self) -> dict[str, Any]:
        if self._task is not None and self._task.done():
            self._task.result()
        after = await self.target.links.counts()
        opened = {
            link.name: after[link.dialer, link.target].opened - self._before[link.dialer, link.target].opened
            for link in self._links
            if (link.dialer, link.target) in after
        }
        bit = self._times > 0 and (not opened or any(opened.values()))
        return {"bit": bit, "times": self._times, "opened": opened}

    async def _bounce(self) -> None:
        await self.target.links.bounce(self._links)
        self._times += 1

    async def _again(self) -> None:
        while True:
            await asyncio.sleep(float(self.params["every"]))
            await self._bounce()


class ClientCut(LinkFault):
    """params: member. Its clients are cut off; the member itself stays in the cluster."""

    def effects(self) -> Iterable[Effect]:
        return [(self.target.links.client(self.member()), None)]


class ClientMute(LinkFault):
    """params: member, lost (requests or answers). What lost its answer may have happened."""

    def effects(self) -> Iterable[Effect]:
        toxic = SWALLOW_UP if self.params["lost"] == "requests" else SWALLOW_DOWN
        return [(self.target.links.client(self.member()), [toxic])]


class ClientSlow(LinkFault):
    """params: member, latency, jitter."""

    def effects(self) -> Iterable[Effect]:
        return [(self.target.links.client(self.member()), delays(self.params))]


class ClientNarrow(LinkFault):
    """params: member, rate."""

    def effects(self) -> Iterable[Effect]:
        return [(self.target.links.client(self.member()), limits(self.params))]


class ClientReset(Reset):
    """params: member, every."""

    def links(self) -> list[Link]:
        return [link for link in self.target.links.all(CLIENT) if link.target == self.member()]


def delays(params: Params) -> list[Toxic]:
    attributes = {"latency": int(params["latency"]), "jitter": int(params["jitter"])}
    return [Toxic("latency", UPSTREAM, attributes), Toxic("latency", DOWNSTREAM, attributes)]


def limits(params: Params) -> list[Toxic]:
    attributes = {"rate": int(params["rate"])}
    return [Toxic("bandwidth", UPSTREAM, attributes), Toxic("bandwidth", DOWNSTREAM, attributes)]
