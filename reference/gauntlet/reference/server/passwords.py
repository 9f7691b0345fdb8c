"""bcrypt in threads of its own: hashing takes 50 ms and more, and lets go of the interpreter meanwhile.

Rules (Go's bcrypt, which wrote what is in etcd's databases): a password to be hashed has at most 72 bytes; of
one to be compared only the first 72 count. A cost out of range is replaced by the default.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from gauntlet.api.errors import Code, RpcError
from gauntlet.reference.auth.tokens import LETTERS, PREFIX_LENGTH
from gauntlet.reference.services.auth import Compared, Hashed

if TYPE_CHECKING:  # both are loaded for the first password, which most members never see
    from concurrent.futures import Future, ThreadPoolExecutor

MIN_COST, MAX_COST, DEFAULT_COST = 4, 31, 10
MAX_PASSWORD = 72  # bytes
THREADS = 2
TOO_LONG = RpcError(Code.UNKNOWN, "bcrypt: password length exceeds 72 bytes", definite=True)

T = TypeVar("T")


def effective_cost(cost: int) -> int:
    return cost if MIN_COST <= cost <= MAX_COST else DEFAULT_COST


class BcryptPasswords:
    """Implements services.auth.Passwords."""

    def __init__(self, cost: int, loop: asyncio.AbstractEventLoop) -> None:
        self._cost = effective_cost(cost)
        self._loop = loop
        self._closed = False

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(THREADS, thread_name_prefix="bcrypt")

    def hash(self, password: str, then: Hashed) -> None:
        secret = password.encode()
        if len(secret) > MAX_PASSWORD:
            then(TOO_LONG)
            return
        cost = self._cost
        self._run(lambda: hash_of(secret, cost), then)

    def compare(self, password: str, hashed: bytes, then: Compared) -> None:
        secret = password.encode()[:MAX_PASSWORD]
        self._run(lambda: matches(secret, hashed), then)

    def token_prefix(self) -> str:
        return "".join(secrets.choice(LETTERS) for _ in range(PREFIX_LENGTH))

    def close(self) -> None:
        self._closed = True
        if "_pool" in self.__dict__:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        def done(future: Future[T]) -> None:
            if not future.cancelled() and not self._closed:
                self._loop.call_soon_threadsafe(then, future.result())

        if not self._closed:
            self._pool.submit(work).add_done_callback(done)


def hash_of(secret: bytes, cost: int) -> bytes:
    import bcrypt

    return bcrypt.hashpw(secret, bcrypt.gensalt(cost, b"2a"))


def matches(secret: bytes, stored: bytes) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(secret, stored)
    except ValueError:
        # Not a hash: a user whose password was changed to nothing.
        return False
