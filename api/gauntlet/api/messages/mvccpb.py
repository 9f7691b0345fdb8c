# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

KeyValue = _pool.message("mvccpb.KeyValue")
Event = _pool.message("mvccpb.Event")

__all__ = [
    "Event",
    "KeyValue",
]
