"""What a workload is: a stream of operations for every client, and how each one is asked of etcd.

Rules every workload keeps:
1. The operations of a client follow from the seed and from the answers given so far, and from nothing else.
2. No value is written twice in a run, so that whoever reads one knows which write it was.
3. `execute` makes one attempt. What it cannot make sense of is an RpcError that is not definite: an answer
   came, so the operation may have happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Response = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One operation to come. `args` is what goes into the history beside the key."""

    op: str
    key: str
    args: Mapping[str, Any] = field(default_factory=dict)
    reads_only: bool = False
    """True when a lost answer cannot have changed anything."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a workload is made from. `prefix` begins every key, without a slash at its end."""

    seed: int
    clients: int
    keys: int = 8
    prefix: str = "/gauntlet"


class Session(Protocol):
    """A client's connection to one member. One attempt per call; RpcError for everything that goes wrong.

    timeout: seconds until the call is given up.
    """

    async def call(self, path: str, request: Any, *, timeout: float | None = None) -> Any: ...


class Workload(Protocol):
    """Made once per run; `next` is called by one client at a time."""

    name: str
    checks: tuple[str, ...]

    def next(self, client: int) -> Invocation:
        """The client's next operation."""
        ...

    def finals(self) -> list[Invocation]:
        """What every member is asked once the faults are over, so that a loss that nobody read yet shows."""
        ...

    async def execute(
        self, client: int, session: Session, invocation: Invocation, timeout: float
    ) -> Response:
        """Asks one member, once. Gives what the history keeps of the answer; raises RpcError."""
        ...
