"""What a workload is: a stream of operations for every client, and how each one is asked of etcd."""

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

    @property
    def reads_only(self) -> bool:
        """True when a lost answer cannot have changed anything."""
        return self.op == "get"


class Session(Protocol):
    """A client's connection to one member. One attempt per call; RpcError for everything that goes wrong."""

    async def call(self, path: str, request: Any, timeout: float) -> Any: ...


class Workload(Protocol):
    """Made once per run from its seed; `next` is called by one client at a time."""

    name: str
    checks: tuple[str, ...]

    def next(self, client: int) -> Invocation:
        """The client's next operation. The same seed and the same answers give the same operations."""
        ...

    def finals(self) -> list[Invocation]:
        """What every member is asked once the faults are over, so that a loss that nobody read yet shows."""
        ...

    async def execute(self, session: Session, invocation: Invocation, timeout: float) -> Response:
        """Asks one member, once. Gives what the history keeps of the answer; raises RpcError."""
        ...
