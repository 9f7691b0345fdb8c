"""The first members of a cluster out of another cluster: --discovery-token and --discovery-endpoints.

Rules (etcd 3.7.1, v3discovery):

- Whoever makes a new cluster writes its size under `/_etcd/registry/TOKEN/_config/size`. Every member writes
  `NAME=URLS` under `/_etcd/registry/TOKEN/members/ID` and waits until as many are there.
- Who wrote first, by create revision, is a member. A member that finds the cluster full before or after it
  has written stops; one that has written already, and comes back without a log, finds itself among them.
- A size that is not there, or is no positive number, ends the attempt. Any other failure of the service is
  tried again after a pause that doubles, from two seconds to 256.
- The token is the cluster's token: the ids of members and cluster follow from it.
- Only a member that founds a cluster asks; a log, if there is one, counts more.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from gauntlet.reference import membership
from gauntlet.reference.membership import ClusterConfigError
from gauntlet.reference.server.config import Config
from gauntlet.reference.server.join import has_log
from gauntlet.reference.server.log import Logger

PREFIX = "/_etcd/registry"
MAX_DOUBLINGS = 8


class DiscoveryError(Exception):
    """Discovery cannot make this member one of a cluster. The message is one clear line."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"failed to join discovery cluster ({reason})")


class ServiceError(Exception):
    """The discovery service gave no answer, or an error."""


@dataclass(frozen=True, slots=True)
class Found:
    """A key of the service: who wrote what, and when (the create revision)."""

    key: str
    value: str
    revision: int


class Service(Protocol):
    """The cluster that knows the members. ServiceError when it does not do what it is asked for."""

    async def get(self, key: str, *, prefix: bool = False) -> tuple[list[Found], int]:
        """What is there, and the present revision."""

    async def put(self, key: str, value: str) -> None: ...

    def watch(self, prefix: str, revision: int) -> AsyncIterator[list[Found]]:
        """What is written below `prefix` from `revision` on."""

    async def close(self) -> None: ...


async def discover(config: Config, log: Logger) -> Config:
    """`config` with the members that discovery names, where it is asked for. DiscoveryError, UsageError."""
    settings = config.more.discovery
    if settings is None:
        return config
    if has_log(config):
        log.warn(
            "discovery token is ignored since cluster already initialized; valid logs are found",
            wal_dir=config.wal_dir or f"{config.data_dir}/member/wal",
        )
        return config
    log.info("Bootstrapping cluster using v3 discovery.")
    # Here, because a member that is told its members has no use for gRPC's client, which is slow to load.
    from gauntlet.reference.server.discovery_client import GrpcService

    try:
        service = await GrpcService.open(settings)
    except ServiceError as error:
        raise DiscoveryError(str(error)) from None
    try:
        text = await Discovery(service, settings.token, config, log).join()
    finally:
        await service.close()
    log.info("discovery joined cluster successfully", cluster=text)
    try:
        return replace(config, initial_cluster=membership.parse_initial_cluster(text))
    except ClusterConfigError:
        raise DiscoveryError("discovery: invalid peer URL") from None


@dataclass(slots=True)
class Registered:
    """The members known so far, the first to write first."""

    prefix: str
    members: list[Found] = field(default_factory=list)

    def add(self, found: Found) -> str | None:
        """The objection to it, if there is one."""
        if not found.key.startswith(self.prefix):
            return "invalid peer registry key"
        if "=" not in found.value:
            return "invalid peer info returned from discovery service"
        if any(member.key == found.key for member in self.members):
            return "found duplicate peer from discovery service"
        self.members.append(found)
        self.members.sort(key=lambda member: member.revision)
        return None


class Discovery:
    def __init__(
        self,
        service: Service,
        token: str,
        config: Config,
        log: Logger,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._service = service
        self._log = log
        own = config.initial_cluster[config.name]
        self._value = ",".join(f"{config.name}={url}" for url in own)
        root = posixpath.normpath(f"{PREFIX}/{token}")
        self._size_key = f"{root}/_config/size"
        self._members = f"{root}/members"
        self._own_key = f"{self._members}/{membership.member_id(own, token):x}"
        self._retries = 0

    async def join(self) -> str:
        """The members in the form of --initial-cluster. DiscoveryError."""
        await self._check()
        await self._register()
        while True:
            size, registered, revision = await self._check()
            if len(registered.members) >= size or await self._wait(size, registered, revision):
                return ",".join(member.value for member in registered.members[:size])

    async def _check(self) -> tuple[int, Registered, int]:
        """The size, the members and the revision at which they were looked at."""
        while True:
            try:
                size = await self._size()
                found, revision = await self._service.get(self._members, prefix=True)
                break
            except ServiceError as error:
                await self._pause("cluster status check", error)
        self._retries = 0
        registered = Registered(self._members)
        for each in found:
            self._take(registered, each)
        for member in registered.members[:size]:
            if member.key == self._own_key:
                break
        else:
            if len(registered.members) >= size:
                raise DiscoveryError("discovery: cluster is full")
        return size, registered, revision

    async def _size(self) -> int:
        found, _ = await self._service.get(self._size_key)
        if not found:
            raise DiscoveryError("discovery: size key not found")
        try:
            size = int(found[0].value)
        except ValueError:
            size = 0
        if size <= 0:
            raise DiscoveryError("discovery: size key is bad")
        return size

    async def _register(self) -> None:
        while True:
            try:
                await self._service.put(self._own_key, self._value)
                break
            except ServiceError as error:
                await self._pause("register member itself", error)
        self._retries = 0
        self._log.info(
            "register member itself successfully", member_key=self._own_key, member_info=self._value
        )

    async def _wait(self, size: int, registered: Registered, revision: int) -> bool:
        """True once all members are there; False when the watch broke off, so that one has to look again."""
        counts = {"cluster_size": size, "found_peers": len(registered.members)}
        self._log.info("waiting for peers from discovery service", **counts)
        try:
            async for found in self._service.watch(self._members, revision + 1):
                for each in found:
                    self._take(registered, each)
                if len(registered.members) >= size:
                    self._log.info("found all needed peers from discovery service", cluster_size=size)
                    return True
        except ServiceError as error:
            await self._pause("wait for peers", error)
        return False

    def _take(self, registered: Registered, found: Found) -> None:
        objection = registered.add(found)
        words: dict[str, Any] = {"member_key": found.key, "member_info": found.value}
        if objection is None:
            self._log.info("found peer from discovery service", **words)
        else:
            self._log.warn(objection, **words)

    async def _pause(self, step: str, error: ServiceError) -> None:
        self._retries = min(self._retries + 1, MAX_DOUBLINGS)
        seconds = 1 << self._retries
        self._log.warn(
            "retry connecting to discovery service", reason=step, backoff=f"{seconds}s", error=str(error)
        )
        await self._sleep(seconds)
