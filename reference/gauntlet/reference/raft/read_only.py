"""Linearizable reads without a log entry (Raft thesis, section 6.4).

Rules:
1. A leader notes its commit index when the request arrives, and must then prove that it still is the
   leader: a quorum has to answer a heartbeat sent after that.
2. Requests are numbered as they come. A heartbeat carries the number of the newest one, 8 bytes
   little-endian, and the answer repeats it: it confirms that request and all before it.
3. A number that a quorum has repeated confirms its request; requests are answered in order.
"""

from __future__ import annotations

from .quorum import Joint
from .types import Message


class ReadOnly:
    __slots__ = ("_acks", "_confirmed", "_waiting")

    def __init__(self) -> None:
        self._acks: dict[int, int] = {}
        self._waiting: list[tuple[Message, int]] = []
        self._confirmed = 0

    def add(self, request: Message, commit: int) -> None:
        self._waiting.append((request, commit))

    def heartbeat_context(self) -> bytes:
        """What heartbeats carry now: the number of the newest request, or nothing if none waits."""
        if not self._waiting:
            return b""
        return (self._confirmed + len(self._waiting)).to_bytes(8, "little")

    def acknowledge(self, member: int, context: bytes) -> None:
        """`member` repeated `context`. Anything shorter than a number is none of ours."""
        if len(context) >= 8:
            number = int.from_bytes(context[:8], "little")
            self._acks[member] = max(self._acks.get(member, 0), number)

    def take_confirmed(self, voters: Joint) -> list[tuple[Message, int]]:
        """The requests that a quorum of `voters` has confirmed, with the commit index of each."""
        count = voters.committed_index(self._acks) - self._confirmed
        if count <= 0:
            return []
        done = self._waiting[:count]
        del self._waiting[:count]
        self._confirmed += len(done)
        return done
