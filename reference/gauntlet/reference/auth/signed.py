"""JSON Web Tokens: credentials that any member can check without having seen them made.

Rules (etcd 3.7.1): the token carries the user, the revision of the auth store it was made at, and when it
ends. Only the configured signing method is accepted. Nothing can be called back before it ends, except by
raising the auth revision. With a public key alone a member checks tokens but makes none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import jwt
from gauntlet.api import errors
from gauntlet.api.errors import RpcError
from gauntlet.reference.auth.tokens import AuthInfo

DEFAULT_TTL = 300.0
VERIFY_ONLY = RpcError(
    errors.Code.UNKNOWN, "auth: token signing attempted with verify-only key", definite=True
)

# Times are checked here against the clock we are given; the rest etcd does not look at.
_OPTIONS: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


class SignedTokens:
    """`wall` gives seconds since 1970. `signing_key` None: check only."""

    prefixed = False

    def __init__(
        self, method: str, verify_key: Any, signing_key: Any | None, ttl: float, wall: Callable[[], float]
    ) -> None:
        self._method = method
        self._verify_key = verify_key
        self._signing_key = signing_key
        self._ttl = ttl
        self._wall = wall

    def enable(self) -> None:
        return

    def disable(self) -> None:
        return

    def assign(self, username: str, revision: int, prefix: str, index: int, now: float) -> str:
        if self._signing_key is None:
            raise VERIFY_ONLY.fresh()
        claims = {"username": username, "revision": revision, "exp": int(self._wall() + self._ttl)}
        return jwt.encode(claims, self._signing_key, self._method)

    def needs_index(self, token: str) -> int | None:
        return 0

    def info(self, token: str, revision: int, now: float) -> AuthInfo | None:
        try:
            claims = jwt.decode(token, self._verify_key, algorithms=[self._method], options=_OPTIONS)
        except jwt.InvalidTokenError:
            return None
        wall = self._wall()
        end, start = claims.get("exp"), claims.get("nbf")
        if end is not None and not (_number(end) and wall < end):
            return None
        if start is not None and not (_number(start) and wall >= start):
            return None
        username, at = claims.get("username"), claims.get("revision")
        if not isinstance(username, str) or not _number(at):
            return None
        return AuthInfo(username, int(at))

    def invalidate_user(self, username: str) -> None:
        return


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
