"""The clusters under which cases run: started when first needed, shared by cases with equal needs.

Rules:
1. A cluster of the group "auth" is clean before every case: no user, no role, authentication off; one of the
   group "alone" has no alarm. When it cannot be made clean, it is thrown away.
2. A cluster whose member died, or that does not answer a read after a case, is thrown away too, so one case
   cannot spoil the next.
3. The leases of a case are revoked after it: one that expires later would change the revision under another.
   Its keys are deleted, because two targets that are compared need not have run the same cases before.
4. `endpoints:` targets are somebody's: only cases with plain needs run there.
Requests go past the client links: conformance wants no network between.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from gauntlet.api.errors import LEASE_NOT_FOUND, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.conformance.case import Needs, Version, parse_version
from gauntlet.harness.conformance.talk import Place
from gauntlet.harness.targets import Target, TargetOptions, create_target
from gauntlet.harness.targets.base import TargetError

_THERE = 10.0  # seconds that somebody's cluster is given to answer: it runs already or it does not
ROOT, PASSWORD = "root", "root-password"


class NotPossible(Exception):
    """This target cannot be made to be what the case needs."""


class Arena:
    """All clusters of one target specification. Use it as an async context manager, or call `close`."""

    def __init__(self, spec: str, directory: Path, toxiproxy: str = "auto") -> None:
        self.spec = spec
        self.version: Version | None = None
        self.version_text = ""
        self._directory = directory
        self._toxiproxy = toxiproxy
        self._clusters: dict[Needs, Target] = {}
        self._count = 0

    @property
    def ours(self) -> bool:
        return not self.spec.startswith("endpoints:")

    async def place(self, needs: Needs) -> Place:
        """A cluster as needed, started if need be. NotPossible; TargetError when it does not start."""
        if not self.ours:
            if not needs.plain:
                raise NotPossible("needs a cluster of its own")
            needs = Needs()
        target = self._clusters.get(needs)
        if target is None:
            target = self._clusters[needs] = await self._start(needs)
        assert self.version is not None
        return Place(target.direct_endpoints, self.version)

    async def after(self, needs: Needs, place: Place) -> None:
        """Tidies up behind a case, by throwing the cluster away where that is needed."""
        if not self.ours:
            return
        if needs.fresh or not await self._serves(place, needs):
            await self.discard(needs)

    async def discard(self, needs: Needs) -> None:
        target = self._clusters.pop(needs, None)
        if target is not None:
            with contextlib.suppress(TargetError):  # it may have died, which the case has told already
                await target.stop()
            shutil.rmtree(target.options.directory, ignore_errors=True)

    async def close(self) -> None:
        for needs in list(self._clusters):
            await self.discard(needs)

    async def _start(self, needs: Needs) -> Target:
        self._count += 1
        folder = self._directory / f"cluster-{self._count}"
        options = TargetOptions(folder, nodes=needs.nodes, toxiproxy=self._toxiproxy, flags=needs.flags)
        if not self.ours:
            options = replace(options, start_timeout=_THERE)
        target = create_target(self.spec, options)
        try:
            await target.start()
        except BaseException:
            await asyncio.shield(target.stop())
            raise
        version = next(iter(target.versions.values()), "")
        try:
            self.version, self.version_text = parse_version(version), version
        except ValueError as error:
            await target.stop()
            raise TargetError(f"{self.spec} says that its version is {version!r}") from error
        return target

    async def _serves(self, place: Place, needs: Needs) -> bool:
        client = EtcdClient(next(iter(place.addresses.values())), timeout=5.0)
        try:
            if needs.group == "auth":
                await clean_auth(client)
            elif needs.group == "alone":
                await disarm_all(client)
            await revoke_all(client)
            await client.delete(b"\0", b"\0")
        except RpcError:
            return False
        finally:
            await client.close()
        return True


async def revoke_all(client: EtcdClient) -> None:
    """No lease is left, and no key that had one."""
    for lease in (await client.leases()).leases:
        try:
            await client.lease_revoke(lease.ID)
        except RpcError as error:
            if error != LEASE_NOT_FOUND:  # it expired meanwhile
                raise


async def disarm_all(client: EtcdClient) -> None:
    """No alarm is left; without the right to look, RpcError."""
    answer: Any = await client.call("/etcdserverpb.Maintenance/Alarm", pb.AlarmRequest())
    for alarm in answer.alarms:
        request = pb.AlarmRequest(
            action=pb.AlarmRequest.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm
        )
        await client.call("/etcdserverpb.Maintenance/Alarm", request)


async def clean_auth(client: EtcdClient) -> None:
    """Authentication off, no user, no role; RpcError when that cannot be had."""
    try:
        await client.call("/etcdserverpb.Auth/UserList", pb.AuthUserListRequest())
    except RpcError:
        await client.authenticate(ROOT, PASSWORD)
        await client.call("/etcdserverpb.Auth/AuthDisable", pb.AuthDisableRequest())
        client.token = None
    users = await client.call("/etcdserverpb.Auth/UserList", pb.AuthUserListRequest())
    for name in getattr(users, "users", ()):
        await client.call("/etcdserverpb.Auth/UserDelete", pb.AuthUserDeleteRequest(name=name))
    roles = await client.call("/etcdserverpb.Auth/RoleList", pb.AuthRoleListRequest())
    for role in getattr(roles, "roles", ()):
        await client.call("/etcdserverpb.Auth/RoleDelete", pb.AuthRoleDeleteRequest(role=role))
