# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

LockRequest = _pool.message("v3lockpb.LockRequest")
LockResponse = _pool.message("v3lockpb.LockResponse")
UnlockRequest = _pool.message("v3lockpb.UnlockRequest")
UnlockResponse = _pool.message("v3lockpb.UnlockResponse")

__all__ = [
    "LockRequest",
    "LockResponse",
    "UnlockRequest",
    "UnlockResponse",
]
