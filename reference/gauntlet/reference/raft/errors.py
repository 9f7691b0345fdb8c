"""Everything the raft core raises. The texts are the ones etcd's logs carry for the same causes."""

from __future__ import annotations


class RaftError(Exception):
    """Base of all errors of this package. Without an argument it carries the text of its class."""

    text = "raft error"

    def __init__(self, text: str | None = None) -> None:
        super().__init__(self.text if text is None else text)


class ProposalDropped(RaftError):
    """Definite: the proposal entered no log and may be repeated."""

    text = "raft proposal dropped"


class Compacted(RaftError):
    text = "requested index is unavailable due to compaction"


class Unavailable(RaftError):
    text = "requested entry at index is unavailable"


class SnapshotOutOfDate(RaftError):
    text = "requested index is older than the existing snapshot"


class SnapshotTemporarilyUnavailable(RaftError):
    """The storage needs time to make a snapshot; the core asks again later."""

    text = "snapshot is temporarily unavailable"


class StepLocalMessage(RaftError):
    """A message that only the member itself may produce came from outside."""

    text = "raft: cannot step raft local message"


class StepPeerNotFound(RaftError):
    """An answer came from a member that the configuration does not know."""

    text = "raft: cannot step as peer not found"


class InvalidConfig(RaftError, ValueError):
    """The options given to a RawNode contradict each other."""


class ConfChangeRefused(RaftError):
    """A membership change that may not be applied to the configuration in force."""


class MalformedConfChange(RaftError):
    """The bytes of a conf change entry are not a conf change."""


class InvariantBroken(RaftError):
    """The core, its storage or its caller broke a rule that safety rests on. The member must stop."""
