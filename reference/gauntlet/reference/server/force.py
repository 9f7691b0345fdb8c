"""--force-new-cluster: what is left of a cluster goes on with one member.

Rules (etcd 3.7.1): everything that was not committed is dropped. Then the log gets one committed change for
each other member, removing it, and one that adds this member if the log knows nothing of it. The cluster
keeps its id and its data.
"""

from __future__ import annotations

from gauntlet.reference import membership
from gauntlet.reference.formats import raftpb
from gauntlet.reference.membership import Member
from gauntlet.reference.ports import Recovered
from gauntlet.reference.raft.types import ConfChangeType, Entry, EntryType, HardState

_ADDS = (ConfChangeType.ADD_NODE, ConfChangeType.ADD_LEARNER_NODE)


def force_alone(recovered: Recovered, peer_urls: list[str]) -> list[Entry]:
    """Changes `recovered` to a member that is alone; gives the entries to be written behind its log."""
    commit = recovered.hard_state.commit
    recovered.entries = [entry for entry in recovered.entries if entry.index <= commit]
    known = _members(recovered)
    changes = [membership.remove_change(number) for number in known if number != recovered.node_id]
    if recovered.node_id not in known:
        changes.append(membership.add_change(Member(recovered.node_id, peer_urls)))
    state = recovered.hard_state
    added = [
        Entry(
            term=state.term,
            index=commit + number,
            type=EntryType.CONF_CHANGE,
            data=raftpb.encode_conf_change(change),
        )
        for number, change in enumerate(changes, 1)
    ]
    recovered.entries.extend(added)
    recovered.hard_state = HardState(state.term, state.vote, commit + len(added))
    return added


def _members(recovered: Recovered) -> list[int]:
    """Who is a member by what was committed, in order of ids."""
    known: set[int] = set()
    if recovered.snapshot is not None:
        state = recovered.snapshot.conf_state
        known.update(state.voters, state.learners)
    for entry in recovered.entries:
        if entry.type is not EntryType.CONF_CHANGE:
            continue
        change = raftpb.decode_conf_change(entry.data)
        if change.type in _ADDS:
            known.add(change.node_id)
        elif change.type is ConfChangeType.REMOVE_NODE:
            known.discard(change.node_id)
    return sorted(known)
