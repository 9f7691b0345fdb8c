"""What authentication adds to applying an entry: the auth requests, and the permissions of all others.

Rules (etcd 3.7.1, etcdserver/apply/auth.go): an entry names the user who proposed it and the auth revision
the user's credentials were good for. While authentication is on, permissions are judged when the entry is
applied, by what the log has said up to there; so the verdict is the same on every member.

- A txn needs everything it might do: each compare, and each operation of both branches, nested ones too.
- Asking for previous pairs needs the permission to read them.
- A lease may be revoked, and a key put under it, only by who may write every key that hangs on it.
- Users may look at themselves and at their own roles; everything else about users and roles is root's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.reference.auth.store import AuthStore
from gauntlet.reference.auth.tokens import AuthInfo
from gauntlet.reference.lease import Lessor

Refusal = RpcError | None

_FOR_ROOT = frozenset(
    {
        "auth_enable",
        "auth_disable",
        "auth_user_add",
        "auth_user_delete",
        "auth_user_change_password",
        "auth_user_grant_role",
        "auth_user_revoke_role",
        "auth_user_list",
        "auth_role_add",
        "auth_role_delete",
        "auth_role_grant_permission",
        "auth_role_revoke_permission",
        "auth_role_list",
    }
)


class Permissions:
    """Judges requests against the store. Only asked while authentication is on."""

    def __init__(self, store: AuthStore, lessor: Lessor) -> None:
        self._store = store
        self._lessor = lessor
        self._checks: dict[str, Callable[[AuthInfo, Any], Refusal]] = {
            "range": self.range,
            "put": self.put,
            "delete_range": self.delete_range,
            "txn": self.txn,
            "lease_revoke": lambda caller, request: self.lease_writes(caller, request.ID),
            "auth_user_get": self._user_get,
            "auth_role_get": self._role_get,
        }

    def refuses(self, name: str, caller: AuthInfo, request: Any) -> Refusal:
        """Why the request in the field `name` of an entry must not be applied, or None."""
        if name in _FOR_ROOT:
            return self._store.refuses_admin(caller)
        check = self._checks.get(name)
        return None if check is None else check(caller, request)

    def range(self, caller: AuthInfo, request: pb.RangeRequest) -> Refusal:
        return self._store.refuses_read(caller, request.key, request.range_end)

    def put(self, caller: AuthInfo, request: pb.PutRequest) -> Refusal:
        refusal = self._store.refuses_write(caller, request.key)
        if refusal is None:
            refusal = self.lease_writes(caller, request.lease)
        if refusal is None and request.prev_kv:
            refusal = self._store.refuses_read(caller, request.key, b"")
        return refusal

    def delete_range(self, caller: AuthInfo, request: pb.DeleteRangeRequest) -> Refusal:
        refusal = self._store.refuses_write(caller, request.key, request.range_end)
        if refusal is None and request.prev_kv:
            refusal = self._store.refuses_read(caller, request.key, request.range_end)
        return refusal

    def txn(self, caller: AuthInfo, request: pb.TxnRequest) -> Refusal:
        for compare in request.compare:
            refusal = self._store.refuses_read(caller, compare.key, compare.range_end)
            if refusal is not None:
                return refusal
        return self._operations(caller, request.success) or self._operations(caller, request.failure)

    def _operations(self, caller: AuthInfo, operations: Iterable[pb.RequestOp]) -> Refusal:
        for operation in operations:
            refusal: Refusal = None
            kind = operation.WhichOneof("request")
            if kind == "request_range":
                refusal = self.range(caller, operation.request_range)
            elif kind == "request_put":
                refusal = self.put(caller, operation.request_put)
            elif kind == "request_delete_range":
                refusal = self.delete_range(caller, operation.request_delete_range)
            elif kind == "request_txn":
                refusal = self.txn(caller, operation.request_txn)
            if refusal is not None:
                return refusal
        return None

    def lease_writes(self, caller: AuthInfo, lease_id: int) -> Refusal:
        """Whether the caller may write every key of the lease; an unknown lease has none."""
        return self._lease_keys(caller, lease_id, self._store.refuses_write)

    def lease_reads(self, caller: AuthInfo, lease_id: int) -> Refusal:
        return self._lease_keys(caller, lease_id, lambda who, key: self._store.refuses_read(who, key, b""))

    def _lease_keys(
        self, caller: AuthInfo, lease_id: int, refuses: Callable[[AuthInfo, bytes], Refusal]
    ) -> Refusal:
        lease = self._lessor.lookup(lease_id)
        if lease is None or self._store.refuses_admin(caller) is None:
            return None
        for key in sorted(lease.keys):
            refusal = refuses(caller, key)
            if refusal is not None:
                return refusal
        return None

    def _user_get(self, caller: AuthInfo, request: pb.AuthUserGetRequest) -> Refusal:
        return None if request.name == caller.username else self._store.refuses_admin(caller)

    def _role_get(self, caller: AuthInfo, request: pb.AuthRoleGetRequest) -> Refusal:
        if self._store.has_role(caller.username, request.role):
            return None
        return self._store.refuses_admin(caller)


class AuthRequests:
    """Applies the requests about users, roles and tokens; the keys of `handlers` are fields of an entry."""

    def __init__(self, store: AuthStore, applied_index: Callable[[], int]) -> None:
        self._store = store
        self._applied_index = applied_index
        # Up to here entries are read from this member's own log again: tokens they made have ended.
        self.replay_until = 0
        self.handlers: dict[str, Callable[[Any, float], Any]] = {
            "auth_enable": self._enable,
            "auth_disable": self._disable,
            "auth_status": self._status,
            "authenticate": self._authenticate,
            "auth_user_add": self._user_add,
            "auth_user_get": self._user_get,
            "auth_user_list": self._user_list,
            "auth_user_delete": self._user_delete,
            "auth_user_change_password": self._user_change_password,
            "auth_user_grant_role": self._user_grant_role,
            "auth_user_revoke_role": self._user_revoke_role,
            "auth_role_add": self._role_add,
            "auth_role_get": self._role_get,
            "auth_role_list": self._role_list,
            "auth_role_delete": self._role_delete,
            "auth_role_grant_permission": self._role_grant_permission,
            "auth_role_revoke_permission": self._role_revoke_permission,
        }

    def _enable(self, request: pb.AuthEnableRequest, now: float) -> pb.AuthEnableResponse:
        self._store.enable()
        return pb.AuthEnableResponse()

    def _disable(self, request: pb.AuthDisableRequest, now: float) -> pb.AuthDisableResponse:
        self._store.disable()
        return pb.AuthDisableResponse()

    def _status(self, request: pb.AuthStatusRequest, now: float) -> pb.AuthStatusResponse:
        return pb.AuthStatusResponse(enabled=self._store.enabled, authRevision=self._store.revision)

    def _authenticate(self, request: pb.InternalAuthenticateRequest, now: float) -> pb.AuthenticateResponse:
        index = self._applied_index()
        if index <= self.replay_until:
            raise errors.AUTH_FAILED.fresh()
        # Upstream takes the index before it moves on to this entry; members of both must make the same token.
        token = self._store.authenticate(request.name, request.simple_token, index - 1, now)
        return pb.AuthenticateResponse(token=token)

    def _user_add(self, request: pb.AuthUserAddRequest, now: float) -> pb.AuthUserAddResponse:
        self._store.add_user(request)
        return pb.AuthUserAddResponse()

    def _user_get(self, request: pb.AuthUserGetRequest, now: float) -> pb.AuthUserGetResponse:
        user = self._store.user(request.name)
        if user is None:
            raise errors.USER_NOT_FOUND.fresh()
        return pb.AuthUserGetResponse(roles=user.roles)

    def _user_list(self, request: pb.AuthUserListRequest, now: float) -> pb.AuthUserListResponse:
        return pb.AuthUserListResponse(users=self._store.users())

    def _user_delete(self, request: pb.AuthUserDeleteRequest, now: float) -> pb.AuthUserDeleteResponse:
        self._store.delete_user(request.name)
        return pb.AuthUserDeleteResponse()

    def _user_change_password(
        self, request: pb.AuthUserChangePasswordRequest, now: float
    ) -> pb.AuthUserChangePasswordResponse:
        self._store.change_password(request)
        return pb.AuthUserChangePasswordResponse()

    def _user_grant_role(
        self, request: pb.AuthUserGrantRoleRequest, now: float
    ) -> pb.AuthUserGrantRoleResponse:
        self._store.grant_role(request.user, request.role)
        return pb.AuthUserGrantRoleResponse()

    def _user_revoke_role(
        self, request: pb.AuthUserRevokeRoleRequest, now: float
    ) -> pb.AuthUserRevokeRoleResponse:
        self._store.revoke_role(request.name, request.role)
        return pb.AuthUserRevokeRoleResponse()

    def _role_add(self, request: pb.AuthRoleAddRequest, now: float) -> pb.AuthRoleAddResponse:
        self._store.add_role(request.name)
        return pb.AuthRoleAddResponse()

    def _role_get(self, request: pb.AuthRoleGetRequest, now: float) -> pb.AuthRoleGetResponse:
        return pb.AuthRoleGetResponse(perm=self._store.permissions(request.role))

    def _role_list(self, request: pb.AuthRoleListRequest, now: float) -> pb.AuthRoleListResponse:
        return pb.AuthRoleListResponse(roles=self._store.roles())

    def _role_delete(self, request: pb.AuthRoleDeleteRequest, now: float) -> pb.AuthRoleDeleteResponse:
        self._store.delete_role(request.role)
        return pb.AuthRoleDeleteResponse()

    def _role_grant_permission(
        self, request: pb.AuthRoleGrantPermissionRequest, now: float
    ) -> pb.AuthRoleGrantPermissionResponse:
        self._store.grant_permission(request)
        return pb.AuthRoleGrantPermissionResponse()

    def _role_revoke_permission(
        self, request: pb.AuthRoleRevokePermissionRequest, now: float
    ) -> pb.AuthRoleRevokePermissionResponse:
        self._store.revoke_permission(request)
        return pb.AuthRoleRevokePermissionResponse()
