# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

Lease = _pool.message("leasepb.Lease")
LeaseInternalRequest = _pool.message("leasepb.LeaseInternalRequest")
LeaseInternalResponse = _pool.message("leasepb.LeaseInternalResponse")

__all__ = [
    "Lease",
    "LeaseInternalRequest",
    "LeaseInternalResponse",
]
