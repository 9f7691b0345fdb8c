# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

EntryType = _pool.enum("raftpb.EntryType")
EntryNormal = 0
EntryConfChange = 1
EntryConfChangeV2 = 2
MessageType = _pool.enum("raftpb.MessageType")
MsgHup = 0
MsgBeat = 1
MsgProp = 2
MsgApp = 3
MsgAppResp = 4
MsgVote = 5
MsgVoteResp = 6
MsgSnap = 7
MsgHeartbeat = 8
MsgHeartbeatResp = 9
MsgUnreachable = 10
MsgSnapStatus = 11
MsgCheckQuorum = 12
MsgTransferLeader = 13
MsgTimeoutNow = 14
MsgReadIndex = 15
MsgReadIndexResp = 16
MsgPreVote = 17
MsgPreVoteResp = 18
MsgStorageAppend = 19
MsgStorageAppendResp = 20
MsgStorageApply = 21
MsgStorageApplyResp = 22
MsgForgetLeader = 23
ConfChangeTransition = _pool.enum("raftpb.ConfChangeTransition")
ConfChangeTransitionAuto = 0
ConfChangeTransitionJointImplicit = 1
ConfChangeTransitionJointExplicit = 2
ConfChangeType = _pool.enum("raftpb.ConfChangeType")
ConfChangeAddNode = 0
ConfChangeRemoveNode = 1
ConfChangeUpdateNode = 2
ConfChangeAddLearnerNode = 3
Entry = _pool.message("raftpb.Entry")
SnapshotMetadata = _pool.message("raftpb.SnapshotMetadata")
Snapshot = _pool.message("raftpb.Snapshot")
Message = _pool.message("raftpb.Message")
HardState = _pool.message("raftpb.HardState")
ConfState = _pool.message("raftpb.ConfState")
ConfChange = _pool.message("raftpb.ConfChange")
ConfChangeSingle = _pool.message("raftpb.ConfChangeSingle")
ConfChangeV2 = _pool.message("raftpb.ConfChangeV2")

__all__ = [
    "ConfChange",
    "ConfChangeAddLearnerNode",
    "ConfChangeAddNode",
    "ConfChangeRemoveNode",
    "ConfChangeSingle",
    "ConfChangeTransition",
    "ConfChangeTransitionAuto",
    "ConfChangeTransitionJointExplicit",
    "ConfChangeTransitionJointImplicit",
    "ConfChangeType",
    "ConfChangeUpdateNode",
    "ConfChangeV2",
    "ConfState",
    "Entry",
    "EntryConfChange",
    "EntryConfChangeV2",
    "EntryNormal",
    "EntryType",
    "HardState",
    "Message",
    "MessageType",
    "MsgApp",
    "MsgAppResp",
    "MsgBeat",
    "MsgCheckQuorum",
    "MsgForgetLeader",
    "MsgHeartbeat",
    "MsgHeartbeatResp",
    "MsgHup",
    "MsgPreVote",
    "MsgPreVoteResp",
    "MsgProp",
    "MsgReadIndex",
    "MsgReadIndexResp",
    "MsgSnap",
    "MsgSnapStatus",
    "MsgStorageAppend",
    "MsgStorageAppendResp",
    "MsgStorageApply",
    "MsgStorageApplyResp",
    "MsgTimeoutNow",
    "MsgTransferLeader",
    "MsgUnreachable",
    "MsgVote",
    "MsgVoteResp",
    "Snapshot",
    "SnapshotMetadata",
]
