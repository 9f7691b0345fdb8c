"""Users, roles and whether authentication is on. Source: go.etcd.io/etcd/server/v3 v3.7.1, package auth.

Rules:

1. Everything here changes by log entries, in the same way on every member. Every change but switching on
   raises the auth revision. A request made with an older one is refused: what the caller was allowed to do
   may have changed meanwhile.
2. Authentication can be switched on only while a user `root` with the role `root` exists. While it is on,
   neither can be deleted, nor the one taken off the other.
3. The role `root` may do everything. It may be granted without having been created.
4. A user has the union of the permissions of all roles. It is computed anew after each change and kept.
5. Passwords arrive hashed (bcrypt, base64); who asked has hashed them before the entry was written. A user
   without a password cannot authenticate by one.

Kept as etcd keeps it: bucket `auth` (authEnabled one byte, authRevision eight bytes big-endian), `authUsers`
and `authRoles` (name -> message).
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from collections.abc import Iterable

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import authpb
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference import backend as buckets
from gauntlet.reference.auth.permissions import UserRanges, valid_range
from gauntlet.reference.auth.tokens import AuthInfo, TokenProvider
from gauntlet.reference.backend import Backend

ROOT = "root"
_ENABLED = b"authEnabled"
_REVISION = b"authRevision"

# Not among the errors etcd's clients know; it reaches them as it is.
NO_PASSWORD_USER = RpcError(
    errors.Code.UNKNOWN,
    "auth: authentication failed, password was given for no password user",
    definite=True,
)


class AuthStore:
    """`enabled` is the one attribute a request looks at while authentication is off."""

    __slots__ = ("_backend", "_ranges", "_roots", "enabled", "revision", "tokens")

    def __init__(self, backend: Backend, tokens: TokenProvider) -> None:
        self.enabled = False
        self.revision = 0
        self.tokens = tokens
        self._ranges: dict[str, UserRanges] = {}
        self._roots: set[str] = set()  # the users with the role root
        self.recover(backend)

    def recover(self, backend: Backend) -> None:
        """Reads everything again from `backend`."""
        self._backend = backend
        self.enabled = backend.get(buckets.AUTH, _ENABLED) == b"\x01"
        self.revision = int.from_bytes(backend.get(buckets.AUTH, _REVISION) or b"", "big")
        if self.enabled:
            self.tokens.enable()
        if self.revision == 0:
            self._commit()
        self._refresh()

    # ---- switched on and off

    def enable(self) -> None:
        """Errors: ROOT_USER_NOT_EXIST, ROOT_ROLE_NOT_EXIST."""
        if self.enabled:
            return
        user = self.user(ROOT)
        if user is None:
            raise errors.ROOT_USER_NOT_EXIST.fresh()
        if ROOT not in user.roles:
            raise errors.ROOT_ROLE_NOT_EXIST.fresh()
        self._backend.put(buckets.AUTH, _ENABLED, b"\x01")
        self.enabled = True
        self.tokens.enable()
        self._refresh()

    def disable(self) -> None:
        if not self.enabled:
            return
        self._backend.put(buckets.AUTH, _ENABLED, b"\x00")
        self._commit()
        self.enabled = False
        self.tokens.disable()

    def authenticate(self, username: str, prefix: str, index: int, now: float) -> str:
        """A token for a user whose password has been checked. Errors: AUTH_NOT_ENABLED, AUTH_FAILED."""
        if not self.enabled:
            raise errors.AUTH_NOT_ENABLED.fresh()
        user = self.user(username)
        if user is None or user.options.no_password:
            raise errors.AUTH_FAILED.fresh()
        return self.tokens.assign(username, self.revision, prefix, index, now)

    def password_hash(self, username: str) -> bytes:
        """What a password is to be compared with. Errors as `authenticate`, and NO_PASSWORD_USER."""
        if not self.enabled:
            raise errors.AUTH_NOT_ENABLED.fresh()
        user = self.user(username)
        if user is None:
            raise errors.AUTH_FAILED.fresh()
        if user.options.no_password:
            raise NO_PASSWORD_USER.fresh()
        return user.password

    # ---- users

    def user(self, name: str) -> authpb.User | None:
        stored = self._backend.get(buckets.AUTH_USERS, name.encode())
        return None if stored is None else authpb.User.FromString(stored)

    def users(self) -> list[str]:
        return [key.decode() for key, _ in self._backend.range(buckets.AUTH_USERS, b"", b"")]

    def add_user(self, request: pb.AuthUserAddRequest) -> None:
        """Errors: USER_EMPTY, USER_ALREADY_EXIST."""
        if not request.name:
            raise errors.USER_EMPTY.fresh()
        if self.user(request.name) is not None:
            raise errors.USER_ALREADY_EXIST.fresh()
        user = authpb.User(name=request.name.encode(), options=request.options)
        if not request.options.no_password:
            user.password = _hash(request.hashedPassword)
        self._put_user(user)
        self._changed()

    def delete_user(self, name: str) -> None:
        """Errors: INVALID_AUTH_MGMT, USER_NOT_FOUND."""
        if self.enabled and name == ROOT:
            raise errors.INVALID_AUTH_MGMT.fresh()
        self._existing_user(name)
        self._backend.delete(buckets.AUTH_USERS, name.encode())
        self._changed()
        self.tokens.invalidate_user(name)

    def change_password(self, request: pb.AuthUserChangePasswordRequest) -> None:
        """Error: USER_NOT_FOUND."""
        user = self._existing_user(request.name)
        user.password = b"" if user.options.no_password else _hash(request.hashedPassword)
        self._put_user(user)
        self._changed()
        self.tokens.invalidate_user(request.name)

    def grant_role(self, name: str, role: str) -> None:
        """Errors: USER_NOT_FOUND, ROLE_NOT_FOUND. Nothing changes where the user has it already."""
        user = self._existing_user(name)
        if role != ROOT and self.role(role) is None:
            raise errors.ROLE_NOT_FOUND.fresh()
        if role in user.roles:
            return
        roles = sorted([*user.roles, role], key=str.encode)
        del user.roles[:]
        user.roles.extend(roles)
        self._put_user(user)
        self._changed()

    def revoke_role(self, name: str, role: str) -> None:
        """Errors: INVALID_AUTH_MGMT, USER_NOT_FOUND, ROLE_NOT_GRANTED."""
        if self.enabled and name == ROOT and role == ROOT:
            raise errors.INVALID_AUTH_MGMT.fresh()
        user = self._existing_user(name)
        if role not in user.roles:
            raise errors.ROLE_NOT_GRANTED.fresh()
        self._take_role(user, role)
        self._changed()

    # ---- roles

    def role(self, name: str) -> authpb.Role | None:
        stored = self._backend.get(buckets.AUTH_ROLES, name.encode())
        return None if stored is None else authpb.Role.FromString(stored)

    def roles(self) -> list[str]:
        return [key.decode() for key, _ in self._backend.range(buckets.AUTH_ROLES, b"", b"")]

    def permissions(self, name: str) -> Iterable[authpb.Permission]:
        """What a role may do. Error: ROLE_NOT_FOUND."""
        role = self._existing_role(name)
        if name == ROOT:
            return [authpb.Permission(permType=authpb.Permission.READWRITE, range_end=b"\x00")]
        return role.keyPermission

    def add_role(self, name: str) -> None:
        """Errors: ROLE_EMPTY, ROLE_ALREADY_EXIST."""
        if not name:
            raise errors.ROLE_EMPTY.fresh()
        if self.role(name) is not None:
            raise errors.ROLE_ALREADY_EXIST.fresh()
        self._put_role(authpb.Role(name=name.encode()))
        self._commit()

    def delete_role(self, name: str) -> None:
        """Also takes it off every user. Errors: INVALID_AUTH_MGMT, ROLE_NOT_FOUND."""
        if self.enabled and name == ROOT:
            raise errors.INVALID_AUTH_MGMT.fresh()
        self._existing_role(name)
        self._backend.delete(buckets.AUTH_ROLES, name.encode())
        for user in self._all_users():
            if name in user.roles:
                self._take_role(user, name)
        self._changed()

    def grant_permission(self, request: pb.AuthRoleGrantPermissionRequest) -> None:
        """Errors: PERMISSION_NOT_GIVEN, INVALID_AUTH_MGMT, ROLE_NOT_FOUND."""
        if not request.HasField("perm"):
            raise errors.PERMISSION_NOT_GIVEN.fresh()
        given = request.perm
        if not valid_range(given.key, given.range_end):
            raise errors.INVALID_AUTH_MGMT.fresh()
        role = self._existing_role(request.name)
        permissions = list(role.keyPermission)
        # Of several ranges that start with the same key, etcd only compares the first.
        at = bisect_left(permissions, given.key, key=_start)
        if at < len(permissions) and _same_range(permissions[at], given.key, given.range_end):
            permissions[at].permType = given.permType
        else:
            permissions.append(given)
            permissions.sort(key=_start)
        self._put_role(authpb.Role(name=role.name, keyPermission=permissions))
        self._changed()

    def revoke_permission(self, request: pb.AuthRoleRevokePermissionRequest) -> None:
        """Errors: ROLE_NOT_FOUND, PERMISSION_NOT_GRANTED."""
        role = self._existing_role(request.role)
        kept = [p for p in role.keyPermission if not _same_range(p, request.key, request.range_end)]
        if len(kept) == len(role.keyPermission):
            raise errors.PERMISSION_NOT_GRANTED.fresh()
        self._put_role(authpb.Role(name=role.name, keyPermission=kept))
        self._changed()

    # ---- may a caller do it; each gives the refusal, or None

    def refuses_read(self, caller: AuthInfo, key: bytes, range_end: bytes) -> RpcError | None:
        return self._refuses(caller, key, range_end, write=False)

    def refuses_write(self, caller: AuthInfo, key: bytes, range_end: bytes = b"") -> RpcError | None:
        return self._refuses(caller, key, range_end, write=True)

    def refuses_admin(self, caller: AuthInfo | None) -> RpcError | None:
        if not self.enabled:
            return None
        if caller is None or not caller.username:
            return errors.USER_EMPTY
        if caller.username not in self._ranges:
            return errors.USER_NOT_FOUND
        return None if caller.username in self._roots else errors.PERMISSION_DENIED

    def has_role(self, username: str, role: str) -> bool:
        user = self.user(username)
        return user is not None and role in user.roles

    # ---- inside

    def _refuses(self, caller: AuthInfo, key: bytes, range_end: bytes, *, write: bool) -> RpcError | None:
        if not self.enabled:
            return None
        if caller.revision == 0:
            return errors.USER_EMPTY
        if caller.revision < self.revision:
            return errors.AUTH_OLD_REVISION
        if caller.username in self._roots:
            return None
        ranges = self._ranges.get(caller.username)
        if ranges is None or not (ranges.write if write else ranges.read).covers(key, range_end):
            return errors.PERMISSION_DENIED
        return None

    def _existing_user(self, name: str) -> authpb.User:
        user = self.user(name)
        if user is None:
            raise errors.USER_NOT_FOUND.fresh()
        return user

    def _existing_role(self, name: str) -> authpb.Role:
        role = self.role(name)
        if role is None:
            raise errors.ROLE_NOT_FOUND.fresh()
        return role

    def _all_users(self) -> list[authpb.User]:
        pairs = self._backend.range(buckets.AUTH_USERS, b"", b"")
        return [authpb.User.FromString(stored) for _, stored in pairs]

    def _take_role(self, user: authpb.User, role: str) -> None:
        kept = [name for name in user.roles if name != role]
        del user.roles[:]
        user.roles.extend(kept)
        self._put_user(user)

    def _put_user(self, user: authpb.User) -> None:
        self._backend.put(buckets.AUTH_USERS, user.name, user.SerializeToString())

    def _put_role(self, role: authpb.Role) -> None:
        self._backend.put(buckets.AUTH_ROLES, role.name, role.SerializeToString())

    def _changed(self) -> None:
        self._commit()
        self._refresh()

    def _commit(self) -> None:
        self.revision += 1
        self._backend.put(buckets.AUTH, _REVISION, self.revision.to_bytes(8, "big"))

    def _refresh(self) -> None:
        """Merges every user's permissions anew."""
        self._ranges = {}
        self._roots = set()
        for user in self._all_users():
            if ROOT in user.roles:
                self._roots.add(user.name.decode())
            roles = [role for name in user.roles if (role := self.role(name)) is not None]
            permissions = [permission for role in roles for permission in role.keyPermission]
            self._ranges[user.name.decode()] = UserRanges(permissions)


def _hash(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NO_PASSWORD_USER.fresh() from None


def _start(permission: authpb.Permission) -> bytes:
    return permission.key


def _same_range(permission: authpb.Permission, key: bytes, range_end: bytes) -> bool:
    return permission.key == key and permission.range_end == range_end
