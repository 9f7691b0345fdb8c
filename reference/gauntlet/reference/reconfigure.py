"""Configuration changes on their way through a member: proposed, applied to raft and to the membership.

Rules (etcd 3.7.1):

- A change waits for a leader like any proposal. Raft takes one at a time: what it refuses disappears without
  a word, and whoever asked waits until it gives up.
- A change is judged once more when it is applied. Raft must not hear of one that is refused (raft's own rule;
  to know that nothing is pending any more, it is enough that the entry counts as applied).
- A change is proposed between two cycles of the node, when raft has moved past all that was applied; so one
  that is asked for as soon as another is answered is not refused.
- A member that is removed stays for a moment, so that the others learn what was committed.
- An entry with several changes (joint consensus; raft ends the joint configuration by an empty one) counts
  as a whole or not at all. etcd proposes none; in ours the context is the JSON list of the members added, in
  order.
"""

from __future__ import annotations

import json
from collections.abc import Container

from gauntlet.reference.apply import Applied, StateMachine
from gauntlet.reference.formats import raftpb
from gauntlet.reference.ports import Peers
from gauntlet.reference.raft.errors import ProposalDropped
from gauntlet.reference.raft.rawnode import RawNode
from gauntlet.reference.raft.types import ConfChange, ConfChangeType, Entry, EntryType


class Reconfiguration:
    def __init__(self, member_id: int, raft: RawNode, machine: StateMachine, peers: Peers) -> None:
        self.removed = False
        self._member_id = member_id
        self._raft = raft
        self._machine = machine
        self._peers = peers
        self._queue: list[ConfChange] = []

    def add(self, change: ConfChange) -> None:
        self._queue.append(change)

    def propose(self, wanted: Container[int]) -> None:
        """Proposes what waits, if somebody leads; changes whose id is not `wanted` any more are dropped."""
        while self._queue and self._raft.leader:
            change = self._queue[0]
            if change.id in wanted:
                try:
                    self._raft.propose_conf_change(change)
                except ProposalDropped:
                    return
            self._queue.pop(0)

    def apply(self, entry: Entry) -> tuple[int, Applied]:
        """Applies the change in an entry; gives its id and what came of it."""
        if entry.type is EntryType.CONF_CHANGE_V2:
            return 0, self._apply_joint(entry)
        change = raftpb.decode_conf_change(entry.data)
        result = self._machine.apply_conf_change(entry.index, entry.term, change)
        if result.error is None:
            self._machine.set_conf_state(self._raft.apply_conf_change(change))
            self._follow(change)
        return change.id, result

    def _apply_joint(self, entry: Entry) -> Applied:
        """Several changes in one entry, or the end of a joint configuration."""
        change = raftpb.decode_conf_change_v2(entry.data)
        members = iter(json.loads(change.context) if change.context else ())
        changes = []
        for single in change.changes:
            adds = single.type is not ConfChangeType.REMOVE_NODE
            context = json.dumps(next(members, {})).encode() if adds else b""
            changes.append(ConfChange(single.type, single.node_id, context))
        result = self._machine.apply_conf_change(entry.index, entry.term, *changes)
        if result.error is None:
            self._machine.set_conf_state(self._raft.apply_conf_change(change))
            for each in changes:
                self._follow(each)
        return result

    def _follow(self, change: ConfChange) -> None:
        member_id = change.node_id
        member = self._machine.cluster.member(member_id)
        if member_id == self._member_id:
            self.removed = self.removed or member is None
        elif member is None:
            self._peers.remove_peer(member_id)
        else:
            try:
                if change.type is ConfChangeType.UPDATE_NODE:
                    self._peers.update_peer(member_id, member.peer_urls)
                else:
                    self._peers.add_peer(member_id, member.peer_urls)
            except ValueError:
                # URLs that nobody can dial. The log has them; the connection stays as it was.
                return
