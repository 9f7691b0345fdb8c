"""What a random sequence is made of: steps as data, which mean the same on both targets.

Rules:
1. A step holds no absolute revision: a number from NOW on means so many above the revision at the start of
   the sequence. It holds no real member id either: SELF and LEARNER stand for them.
2. What only one of the targets knows (the key under which an election was won, a token, a learner's id) is
   kept by the side that got it, and a step refers to the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gauntlet.api.messages import etcdserverpb as pb
from google.protobuf.message import Message

NOW = 1 << 40  # NOW + n: the revision at the start, plus n
SELF, LEARNER = 1 << 44, (1 << 44) + 1  # as a member id: the member itself, the learner that was added last
CONNECTIONS = 3
EXPIRING = 150  # the lease that Expire grants
_MEMBER_FIELDS = frozenset(("ID", "memberID", "targetID"))


@dataclass(frozen=True, slots=True)
class Step:
    """One request on one of the connections. path "" is found by the request's type."""

    request: Message
    connection: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A unary request as JSON over HTTP, with the connection's token."""

    request: Message
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Http:
    """Any HTTP request; body None: without one."""

    method: str
    path: str
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Blocking:
    """Lock or Campaign. The step is over when the call is answered or waits for its turn; a call that waits
    is looked at after every following step, and cancelled at the end of the sequence."""

    request: Message
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Leader:
    """Proclaim or Resign (no value) with the leader key of the last campaign that was won."""

    value: bytes | None
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Observe:
    """The first answer of an observer, if the election has a leader."""

    name: bytes
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Expire:
    """A lease of the shortest life is given to keys; over when it has expired."""

    keys: tuple[bytes, ...]
    renewed: bool = False
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Login:
    """The connection sends this user's token from now on, if the login succeeds; name "": no token."""

    name: str
    password: str
    connection: int


@dataclass(frozen=True, slots=True)
class SetUpRoot:
    """The four requests that switch authentication on; connection 0 is root's afterwards."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A request on one of the long-lived watch streams."""

    request: pb.WatchRequest
    stream: int = 0


@dataclass(frozen=True, slots=True)
class KeepAlive:
    leases: tuple[int, ...]
    connection: int = 0


AnyStep = Step | Gateway | Http | Blocking | Leader | Observe | Expire | Login | SetUpRoot | Watch | KeepAlive


def is_compaction(step: AnyStep) -> bool:
    return isinstance(step, (Step, Gateway)) and isinstance(step.request, pb.CompactionRequest)


def resolve(message: Message, base: int, members: Mapping[int, int] | None = None) -> Message:
    """A copy in which revisions that count from NOW count from the base, and members have their ids."""
    copy = type(message)()
    copy.CopyFrom(message)
    _resolve(copy, base, members or {})
    return copy


def _resolve(message: Message, base: int, members: Mapping[int, int]) -> None:
    for field, value in message.ListFields():
        if isinstance(value, Message):
            _resolve(value, base, members)
        elif field.message_type is not None:
            for item in value:
                _resolve(item, base, members)
        elif isinstance(value, int) and "rev" in field.name and abs(value - NOW) < 1000:
            setattr(message, field.name, max(base + value - NOW, 1))
        elif field.name in _MEMBER_FIELDS and value in members:
            setattr(message, field.name, members[value])
