"""After the faults: every member is asked for every key, and for the hash of its whole history.

The final reads are ordinary operations of the history, so the checkers hold them against all the rest: a
write that a member lost shows even if nobody asked it again before. The hashes say that the members hold the
same store, revision by revision, which reads of the newest values cannot say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gauntlet.api.errors import RpcError
from gauntlet.harness.client import EtcdClient
from gauntlet.harness.recorder import Recorder
from gauntlet.workloads.base import Session, Workload

READ_ATTEMPTS = 3  # of one final read; each is recorded as an operation of its own
HASH_SECONDS = 10.0  # in which all members must have caught up
_ASK_AGAIN = 0.1  # seconds between two rounds of questions


async def final_reads(
    recorder: Recorder, workload: Workload, sessions: Mapping[str, Session], first_client: int
) -> None:
    """All members at once, one operation at a time each, as clients of their own from `first_client` on."""

    async def ask(client: int, member: str, session: Session) -> None:
        for invocation in workload.finals():
            for _ in range(READ_ATTEMPTS):
                if await recorder.operate(workload, session, client, member, invocation):
                    break

    async with asyncio.TaskGroup() as group:
        for number, (member, session) in enumerate(sessions.items()):
            group.create_task(ask(first_client + number, member, session))


@dataclass(slots=True)
class Hashes:
    """HashKV of every member at one revision. `equal` is None while that is not known."""

    revision: int = 0
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    equal: bool | None = None

    def judge(self) -> None:
        """Hashes can be compared between members that compacted at the same revision."""
        answers = [each for each in self.members.values() if "hash" in each]
        by_compaction: dict[int, set[int]] = {}
        for answer in answers:
            by_compaction.setdefault(answer["compact_revision"], set()).add(answer["hash"])
        if any(len(hashes) > 1 for hashes in by_compaction.values()):
            self.equal = False
        elif len(answers) == len(self.members) and len(by_compaction) == 1:
            self.equal = True
        else:
            self.equal = None

    def to_json(self) -> dict[str, Any]:
        return {"revision": self.revision, "members": self.members, "equal": self.equal}


async def compare_hashes(clients: Mapping[str, EtcdClient], seconds: float) -> Hashes:
    """Asks all members until they agree, or the seconds have passed: then the last answers are the finding.

    Members that were told to compact do so in their own time, and one that was down has entries to catch up
    with, so a first disagreement says nothing.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    found = Hashes()
    while True:
        found.revision = max(found.revision, await _newest_revision(clients))
        names = list(clients)
        answers = await asyncio.gather(*(_hash(clients[name], found.revision) for name in names))
        found.members = dict(zip(names, answers, strict=True))
        found.judge()
        if found.equal or loop.time() >= deadline:
            return found
        await asyncio.sleep(_ASK_AGAIN)


async def _newest_revision(clients: Mapping[str, EtcdClient]) -> int:
    async def ask(client: EtcdClient) -> int:
        try:
            return int((await client.status(timeout=2.0)).header.revision)
        except RpcError:
            return 0

    return max(await asyncio.gather(*map(ask, clients.values())))


async def _hash(client: EtcdClient, revision: int) -> dict[str, Any]:
    try:
        answer = await client.hash_kv(revision, timeout=5.0)
    except RpcError as error:
        return {"error": f"{error.code.name}: {error.message}"}
    return {"hash": answer.hash, "compact_revision": answer.compact_revision}
