"""Whether members still store the same: what to conclude from their hashes. No network here.

Rules (etcd's corruption checker):

- At start: a peer with another hash at the same revision and compaction means that this one must not serve.
- Now and then (`judge_present`), by the leader: a follower ahead of the leader, in revision or compaction, or
  with another hash at the same compaction, is corrupt; so is the leader if its own hash changed in between.
  Only one alarm is raised a round.
- After compactions (`judge_compaction`), by the leader: members are grouped by the hash that it left.
  Who is not in the majority is corrupt; without a majority nobody knows who, and the alarm is for member 0.
  A round that could not ask everybody looks at the next older hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gauntlet.reference.mvcc.hashing import KeyValueHash
from gauntlet.reference.mvcc.store import HashResult
from gauntlet.reference.server.hashes import PeerHash

WHOLE_CLUSTER = 0


def differs_at_start(own: HashResult, peers: Sequence[PeerHash]) -> list[PeerHash]:
    """The peers that contradict this member."""
    return [
        peer
        for peer in peers
        if peer.ok and peer.hash != own.hash and peer.compact_revision == own.compact_revision
    ]


def judge_present(
    member_id: int, before: HashResult, after: HashResult, peers: Sequence[PeerHash]
) -> tuple[int, str] | None:
    """Whom to raise the alarm for, and why. `before` and `after` asking the peers are the leader's."""
    same = before.hash_revision == after.hash_revision and before.compact_revision == after.compact_revision
    if same and before.hash != after.hash:
        return member_id, "found hash mismatch"
    for peer in peers:
        if not peer.ok:
            continue
        if peer.revision > after.current_revision:
            return peer.member.id, "revision from follower must be less than or equal to leader's"
        if peer.compact_revision > after.compact_revision:
            return peer.member.id, "compact revision from follower must be less than or equal to leader's"
        if peer.compact_revision == before.compact_revision and peer.hash != before.hash:
            return peer.member.id, "same compact revision then hashes must match"
    return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`settled` False: not everybody could be asked, look at an older hash. `corrupt` are member ids."""

    settled: bool
    agreed: bool
    corrupt: tuple[int, ...] = ()


def judge_compaction(leader_id: int, own: KeyValueHash, peers: Sequence[PeerHash]) -> Verdict:
    groups: dict[int, list[int]] = {own.hash: [leader_id]}
    asked = 0
    for peer in peers:
        if peer.ok and peer.compact_revision == own.compact_revision:
            asked += 1
            groups.setdefault(peer.hash, []).append(peer.member.id)
    if len(groups) == 1:
        everybody = asked == len(peers)
        return Verdict(settled=everybody, agreed=everybody)
    quorum = (len(peers) + 1) // 2 + 1
    majority = next((hash_ for hash_, members in groups.items() if len(members) >= quorum), None)
    if majority is None:
        return Verdict(settled=True, agreed=False, corrupt=(WHOLE_CLUSTER,))
    corrupt = tuple(member for hash_, members in groups.items() if hash_ != majority for member in members)
    return Verdict(settled=True, agreed=False, corrupt=corrupt)
