"""bcrypt in threads of its own: hashing takes 50 ms and more, and lets go of the interpreter meanwhile.

Rules (Go's bcrypt, which wrote what is in etcd's databases): a password to be hashed has at most 72 bytes; of
one to be compared only the first 72 count. A cost out of range is replaced by the default.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import bcrypt
from gauntlet.api.errors import Code, RpcError
from gauntlet.reference.auth.tokens import LETTERS, PREFIX_LENGTH
from gauntlet.reference.services.auth import Compared, Hashed

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
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="bcrypt")
        self._closed = False

    def hash(self, password: str, then: Hashed) -> None:
        secret = password.encode()
        if len(secret) > MAX_PASSWORD:
            then(TOO_LONG)
            return
        cost = self._cost
        self._run(lambda: bcrypt.hashpw(secret, bcrypt.gensalt(cost, b"2a")), then)

    def compare(self, password: str, hashed: bytes, then: Compared) -> None:
        secret = password.encode()[:MAX_PASSWORD]
        self._run(lambda: matches(secret, hashed), then)

    def token_prefix(self) -> str:
        return "".join(secrets.choice(LETTERS) for _ in range(PREFIX_LENGTH))

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        def done(future: Future[T]) -> None:
            if not future.cancelled() and not self._closed:
                self._loop.call_soon_threadsafe(then, future.result())

        if not self._closed:
            self._pool.submit(work).add_done_callback(done)


def matches(secret: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(secret, hashed)
    except ValueError:
        # Not a hash: a user whose password was changed to nothing.
        return False
