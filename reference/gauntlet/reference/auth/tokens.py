"""Tokens: what a client shows after it has proven who it is.

Simple tokens, rules (etcd 3.7.1):

- A token is a random prefix, a dot, and the index of the entry before the one that made it. It is made when
  that is applied, so every member knows it; a member that has not come that far waits before it judges.
  (Upstream waits for the entry before only, and may refuse a token that is about to be made.)
- It lives for a time after its last use on this member (`--auth-token-ttl`); the clocks of the members are
  not compared.
- Deleting a user or changing the password ends the user's tokens; switching authentication off ends all.
- Tokens are not stored: a member that restarts knows none of those made before.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

DEFAULT_TTL = 300.0
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PREFIX_LENGTH = 16
_SIMPLE = re.compile(r"[^.]*\.([0-9]+)")
_MAX_INDEX = (1 << 64) - 1


class AuthInfo(NamedTuple):
    """A caller: the user and the revision of the auth store its credentials are good for."""

    username: str
    revision: int


NOBODY = AuthInfo("", 0)


class TokenProvider(Protocol):
    """Makes tokens and recognises them. `now` is the member's monotonic clock in seconds."""

    prefixed: bool  # whether `assign` wants a random prefix of PREFIX_LENGTH letters

    def enable(self) -> None: ...

    def disable(self) -> None: ...

    def assign(self, username: str, revision: int, prefix: str, index: int, now: float) -> str:
        """A new token. RpcError when this member cannot make one."""

    def needs_index(self, token: str) -> int | None:
        """The applied index from which the token can be judged; None for what cannot be a token."""

    def info(self, token: str, revision: int, now: float) -> AuthInfo | None:
        """Who shows this token; `revision` is the auth store's present one. None for a token not valid."""

    def invalidate_user(self, username: str) -> None: ...


class SimpleTokens:
    """Times are kept in a dictionary ordered by last use, the oldest first: all live equally long."""

    prefixed = True

    def __init__(self, ttl: float = DEFAULT_TTL) -> None:
        self._ttl = ttl if ttl > 0 else DEFAULT_TTL
        self._enabled = False
        self._tokens: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False
        self._tokens.clear()

    def assign(self, username: str, revision: int, prefix: str, index: int, now: float) -> str:
        token = f"{prefix}.{index}"
        self._sweep(now)
        if self._enabled:
            self._tokens[token] = (username, now + self._ttl)
        return token

    def needs_index(self, token: str) -> int | None:
        match = _SIMPLE.fullmatch(token)
        if match is None:
            return None
        index = int(match[1]) if len(match[1]) <= 20 else _MAX_INDEX + 1
        return index + 1 if index <= _MAX_INDEX else None

    def info(self, token: str, revision: int, now: float) -> AuthInfo | None:
        self._sweep(now)
        found = self._tokens.pop(token, None)
        if found is None:
            return None
        self._tokens[token] = (found[0], now + self._ttl)
        return AuthInfo(found[0], revision)

    def invalidate_user(self, username: str) -> None:
        self._tokens = {token: entry for token, entry in self._tokens.items() if entry[0] != username}

    def _sweep(self, now: float) -> None:
        while self._tokens:
            token = next(iter(self._tokens))
            if self._tokens[token][1] >= now:
                return
            del self._tokens[token]
