"""What a session did and what came of it, one JSON line each; for two servers to be compared by."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def plain(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def say(what: str, *values: Any) -> None:
    print(json.dumps([what, *map(plain, values)]), flush=True)


def failed(what: str, error: BaseException) -> None:
    """An error that was expected, with its words."""
    said = getattr(error, "detail_text", None) or str(error)
    say(what, type(error).__name__, said)


def fails(what: str, act: Callable[[], Any], *kinds: type[BaseException]) -> None:
    try:
        act()
    except kinds as error:
        failed(what, error)
    else:
        say(what, "no error")


def address() -> tuple[str, int]:
    """The member that the command line names."""
    host, _, port = sys.argv[1].rpartition(":")
    return host, int(port)
