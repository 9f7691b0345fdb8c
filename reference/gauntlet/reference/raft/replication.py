"""How a leader feeds the other members: appends, snapshots, heartbeats, and what becomes committed.

Rules (Raft paper, sections 5.3, 5.4.2 and 7):
1. An append carries the entries from the member's `next` on, the identity of the entry before them, and
   the commit index. If the entry before them is compacted, a snapshot goes instead, but only to a member
   that was heard lately: a snapshot is too dear for one that may be gone.
2. A heartbeat tells a member no more than that what it is known to hold is committed.
3. Only entries of the leader's own term are committed by counting; earlier ones follow with them.
4. The leader acknowledges its own entries as any other member does: when they are durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Compacted, InvariantBroken, SnapshotTemporarilyUnavailable
from .progress import Progress, ProgressState
from .sizes import payload_size
from .types import NO_LIMIT, Entry, Message, MessageType

if TYPE_CHECKING:
    from .core import Raft


def reset_progress(raft: Raft) -> None:
    """Forget what is known of the others: another term, another leader."""
    tracker = raft.tracker
    last = raft.raft_log.last_index()
    for member, old in tracker.progress.items():
        tracker.progress[member] = Progress(
            tracker.new_inflights(),
            match=last if member == raft.id else 0,
            next_index=last + 1,
            is_learner=old.is_learner,
        )


def append_proposals(raft: Raft, entries: list[Entry]) -> bool:
    """Give entries their place in the leader's log. False, and nothing done, if they exceed the limit.

    The limit never stops the first uncommitted entry, nor entries without data: those are the leader's own.
    """
    if raft.max_uncommitted_size < NO_LIMIT:
        size = payload_size(entries)
        if size and raft.uncommitted_size and raft.uncommitted_size + size > raft.max_uncommitted_size:
            raft.log.warning(
                f"{raft.id:x} appending new entries to log would exceed uncommitted entry size limit; "
                "dropping proposal"
            )
            return False
        raft.uncommitted_size += size
    log = raft.raft_log
    term = raft.term
    index = log.last_index()
    placed = entries
    for position, entry in enumerate(entries):
        index += 1
        if entry.index:
            # It has a place in some log already: the message was delivered twice. Leave that one alone.
            if placed is entries:
                placed = list(entries)
            entry = placed[position] = Entry(type=entry.type, data=entry.data)
        entry.term = term
        entry.index = index
    log.append(placed)
    raft.send(Message(MessageType.APP_RESP, to=raft.id, index=index))
    return True


def send_append(raft: Raft, to: int) -> None:
    """Send what the member lacks, or an append without entries: it carries the commit index."""
    maybe_send_append(raft, to, raft.tracker.progress[to], send_if_empty=True)


def maybe_send_append(raft: Raft, to: int, progress: Progress, send_if_empty: bool) -> bool:
    """Send one append, or a snapshot, unless the member's flow is stopped. Whether something was sent."""
    if progress.paused:
        return False
    log = raft.raft_log
    prev_index = progress.next - 1
    prev_term = log.find_term(prev_index)
    if prev_term is None:
        return _maybe_send_snapshot(raft, to, progress)
    entries: list[Entry] = []
    if progress.state is not ProgressState.REPLICATE or not progress.inflights.full:
        try:
            entries = log.entries(progress.next, raft.max_message_size)
        except Compacted:
            return send_if_empty and _maybe_send_snapshot(raft, to, progress)
    if not entries and not send_if_empty:
        return False
    raft.send(
        Message(
            MessageType.APP,
            to=to,
            log_term=prev_term,
            index=prev_index,
            entries=entries,
            commit=log.committed,
        )
    )
    progress.sent_entries(len(entries), payload_size(entries) if progress.inflights.max_bytes else 0)
    progress.sent_commit = log.committed
    return True


def _maybe_send_snapshot(raft: Raft, to: int, progress: Progress) -> bool:
    if not progress.recent_active:
        raft.log.debug(f"ignore sending snapshot to {to:x} since it is not recently active")
        return False
    log = raft.raft_log
    try:
        snapshot = log.snapshot()
    except SnapshotTemporarilyUnavailable:
        raft.log.debug(
            f"{raft.id:x} failed to send snapshot to {to:x} because snapshot is temporarily unavailable"
        )
        return False
    if snapshot.index == 0:
        raise InvariantBroken("need non-empty snapshot")
    raft.log.debug(
        f"{raft.id:x} [firstindex: {log.first_index()}, commit: {log.committed}] sent "
        f"snapshot[index: {snapshot.index}, term: {snapshot.term}] to {to:x} [{progress}]"
    )
    progress.become_snapshot(snapshot.index)
    raft.log.debug(f"{raft.id:x} paused sending replication messages to {to:x} [{progress}]")
    raft.send(Message(MessageType.SNAP, to=to, snapshot=snapshot))
    return True


def broadcast_append(raft: Raft) -> None:
    for member, progress in raft.tracker.progress.items():
        if member != raft.id:
            maybe_send_append(raft, member, progress, send_if_empty=True)


def probe_all(raft: Raft) -> None:
    """Send entries to whoever lacks some: newcomers need not wait for the next heartbeat."""
    for member, progress in raft.tracker.progress.items():
        if member != raft.id:
            maybe_send_append(raft, member, progress, send_if_empty=False)


def broadcast_heartbeat(raft: Raft) -> None:
    context = raft.read_only.heartbeat_context()
    committed = raft.raft_log.committed
    for member, progress in raft.tracker.progress.items():
        if member != raft.id:
            commit = min(progress.match, committed)
            raft.send(Message(MessageType.HEARTBEAT, to=member, commit=commit, context=context))
            progress.sent_commit = commit


def maybe_commit(raft: Raft) -> bool:
    """Commit what a quorum holds (rule 3). Whether the commit index moved."""
    return raft.raft_log.maybe_commit(raft.term, raft.tracker.committed())
