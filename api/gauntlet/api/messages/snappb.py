# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

snapshot = _pool.message("snappb.snapshot")

__all__ = [
    "snapshot",
]
