"""Auth: users, roles, permissions, and the token that follows from a password.

Rules (etcd 3.7.1):

- Everything goes through the log, questions too; who may do it is judged when the entry is applied.
- A password is hashed before it is proposed and compared before a token is asked for, outside the event loop
  both times. It is in no entry and in no log line.
- A password that was checked against an auth store which changed meanwhile is checked again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Protocol

from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.wire.types import Context, Reply, UnaryHandler
from gauntlet.reference.apply import Applied
from gauntlet.reference.node import Node
from gauntlet.reference.services.base import Service
from gauntlet.reference.services.guard import Guard

Hashed = Callable[[bytes | RpcError], None]
Compared = Callable[[bool], None]

# Requests that are proposed just as they came, and the field of the entry they go into.
_PLAIN = {
    "AuthEnable": "auth_enable",
    "AuthDisable": "auth_disable",
    "AuthStatus": "auth_status",
    "UserGet": "auth_user_get",
    "UserList": "auth_user_list",
    "UserDelete": "auth_user_delete",
    "UserGrantRole": "auth_user_grant_role",
    "UserRevokeRole": "auth_user_revoke_role",
    "RoleAdd": "auth_role_add",
    "RoleGet": "auth_role_get",
    "RoleList": "auth_role_list",
    "RoleDelete": "auth_role_delete",
    "RoleGrantPermission": "auth_role_grant_permission",
    "RoleRevokePermission": "auth_role_revoke_permission",
}


class Passwords(Protocol):
    """bcrypt, in another thread; the callbacks come back on the loop. Both take 50 ms and more."""

    def hash(self, password: str, then: Hashed) -> None: ...

    def compare(self, password: str, hashed: bytes, then: Compared) -> None: ...

    def token_prefix(self) -> str:
        """Sixteen random letters that nobody can guess."""


class AuthService(Service):
    def __init__(self, node: Node, guard: Guard, passwords: Passwords) -> None:
        super().__init__(node, guard)
        self._passwords = passwords

    def handlers(self) -> dict[str, UnaryHandler]:
        """By the name of the method."""
        found: dict[str, UnaryHandler] = {name: self._plain(field) for name, field in _PLAIN.items()}
        found["Authenticate"] = self.authenticate
        found["UserAdd"] = self.user_add
        found["UserChangePassword"] = self.user_change_password
        return found

    def _plain(self, field: str) -> UnaryHandler:
        def handler(context: Context, request: Any, reply: Reply) -> None:
            self.propose(context, pb.InternalRaftRequest(**{field: request}), reply)

        return handler

    def user_add(self, context: Context, request: pb.AuthUserAddRequest, reply: Reply) -> None:
        def proceed() -> None:
            self.propose(context, pb.InternalRaftRequest(auth_user_add=request), reply)

        if request.options.no_password:
            proceed()
        else:
            self._hash(request, proceed, reply)

    def user_change_password(
        self, context: Context, request: pb.AuthUserChangePasswordRequest, reply: Reply
    ) -> None:
        def proceed() -> None:
            self.propose(context, pb.InternalRaftRequest(auth_user_change_password=request), reply)

        if request.password:
            self._hash(request, proceed, reply)
        else:
            proceed()

    def _hash(
        self,
        request: pb.AuthUserAddRequest | pb.AuthUserChangePasswordRequest,
        proceed: Callable[[], None],
        reply: Reply,
    ) -> None:
        def hashed(result: bytes | RpcError) -> None:
            if isinstance(result, RpcError):
                reply(result)
                return
            request.hashedPassword = base64.b64encode(result).decode()
            request.password = ""
            proceed()

        self._passwords.hash(request.password, hashed)

    def authenticate(self, context: Context, request: pb.AuthenticateRequest, reply: Reply) -> None:
        name, password = request.name, request.password
        request.password = ""
        self.when_linearizable(lambda: self._check_password(name, password, reply), reply)

    def _check_password(self, name: str, password: str, reply: Reply) -> None:
        store = self.guard.store
        checked = store.revision
        try:
            expected = store.password_hash(name)
        except RpcError as error:
            reply(error)
            return

        def answer(result: Applied) -> None:
            if result.error is not None:
                reply(result.error)
            elif store.revision != checked:
                self._check_password(name, password, reply)
            else:
                self.fill(result.response.header)
                reply(result.response)

        def compared(equal: bool) -> None:
            if not equal:
                reply(errors.AUTH_FAILED)
                return
            token = pb.InternalAuthenticateRequest(name=name)
            if store.tokens.prefixed:
                token.simple_token = self._passwords.token_prefix()
            self.node.propose(pb.InternalRaftRequest(authenticate=token), answer)

        self._passwords.compare(password, expected, compared)
