# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.
from gauntlet.api.messages import _pool

UserAddOptions = _pool.message("authpb.UserAddOptions")
User = _pool.message("authpb.User")
Permission = _pool.message("authpb.Permission")
Role = _pool.message("authpb.Role")

__all__ = [
    "Permission",
    "Role",
    "User",
    "UserAddOptions",
]
