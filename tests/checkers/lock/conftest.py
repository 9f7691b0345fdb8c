"""Lines of a history about leases, locks and elections."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from gauntlet.checkers.etcd.records import OPS, decode, refused
from gauntlet.checkers.lock import recipes
from porcupine.history import Operation
from porcupine.jsonl import frozen, read_operations

SECOND = 1_000_000_000
Line = dict[str, Any]


def _decode(record: Any) -> Any:
    if record["op"] in OPS:
        return decode(record)
    return (record["op"], frozen(record["key"]), frozen(record["args"])), frozen(record["response"])


def parsed(lines: list[Line]) -> tuple[list[Operation], list[Operation]]:
    """(recipes, other operations) of lines, in the order of their calls."""
    ordered = sorted(lines, key=lambda each: each["call_ns"])
    text = [json.dumps({"id": number, **each}) for number, each in enumerate(ordered)]
    history = list(read_operations(text, _decode))
    others = [refused(each) for each in history if isinstance(each.call, tuple) and each.call[0] not in OPS]
    return recipes(history), [each for each in others if type(each.call) is not tuple]


class Lines:
    """Makes lines; every operation takes 0.1 s from `at` (s)."""

    @staticmethod
    def line(
        op: str, key: str | None, at: float, response: Any, /, *, took: float = 0.1, **args: Any
    ) -> Line:
        outcome = args.pop("outcome", "ok")
        call = int(at * SECOND)
        return {
            "client": f"{op}-{at}",
            "member": "m1",
            "op": op,
            "key": key,
            "args": args,
            "call_ns": call,
            "return_ns": call + int(took * SECOND),
            "outcome": outcome,
            "response": response,
        }

    def grant(self, lease: int, at: float = 0, ttl: int = 10) -> Line:
        return self.line("lease_grant", None, at, {"revision": 1, "id": lease, "ttl": ttl}, id=lease, ttl=ttl)

    def lock(self, lease: int, at: float, token: int | None, revision: int, **more: Any) -> Line:
        response = {"revision": revision, "key": f"l/{lease:x}", "create_revision": token}
        return self.line("lock", "l", at, response, lease=lease, **more)

    def unlock(self, lease: int, at: float, revision: int, **more: Any) -> Line:
        return self.line("unlock", "l", at, {"revision": revision}, key=f"l/{lease:x}", **more)

    def write(self, lease: int, at: float, token: int, revision: int, done: bool = True) -> Line:
        """Of x, guarded by the lock's key."""
        compare = {"key": f"l/{lease:x}", "target": "create", "result": "=", "value": token}
        success = [{"op": "put", "key": "x", "args": {"value": f"{lease}"}}]
        response = {"revision": revision, "succeeded": done, "responses": [{}] if done else []}
        return self.line("txn", None, at, response, compare=[compare], success=success, failure=[])

    def campaign(self, lease: int, at: float, token: int, **more: Any) -> Line:
        response = {"revision": token, "key": f"e/{lease:x}", "create_revision": token}
        return self.line("campaign", "e", at, response, lease=lease, value="v", **more)

    def proclaim(self, lease: int, at: float, token: int, revision: int) -> Line:
        args: Line = {"key": f"e/{lease:x}", "create_revision": token, "value": "w"}
        return self.line("proclaim", "e", at, {"revision": revision}, **args)

    def resign(self, lease: int, at: float, token: int, revision: int) -> Line:
        args: Line = {"key": f"e/{lease:x}", "create_revision": token}
        return self.line("resign", "e", at, {"revision": revision}, **args)

    def seen(
        self, lease: int, at: float, token: int, mod: int, revision: int, observer: str | None = None
    ) -> Line:
        """Of Leader, or a message of an Observe stream."""
        kv = {"key": f"e/{lease:x}", "value": "v", "create_revision": token, "mod_revision": mod}
        response = {"revision": revision, "kv": kv}
        if observer is None:
            return self.line("leader", "e", at, response)
        return self.line("observe", "e", at, response, took=0, observer=observer)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def parse() -> Callable[[list[Line]], tuple[list[Operation], list[Operation]]]:
    return parsed
