# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

Record = _pool.message("walpb.Record")
Snapshot = _pool.message("walpb.Snapshot")

__all__ = [
    "Record",
    "Snapshot",
]
