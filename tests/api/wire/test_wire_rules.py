"""Rules of the code itself, and small parts on their own."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import gauntlet.api.wire.connection
import pytest
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.wire import status
from gauntlet.api.wire.deadlines import Deadlines
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.server import Server, Speech
from gauntlet.api.wire.types import Context, Method

FOLDER = Path(gauntlet.api.wire.connection.__file__).parent
PURE = ["types", "frames", "limits", "hpack_cache", "hpack_decoder", "outflow", "streams", "status"]
PURE += ["connection", "deadlines", "calls", "grpc", "http2_exchange", "http_types"]
FORBIDDEN = {"asyncio", "socket", "time", "random", "os", "threading"}


def imported(name: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
    return names


@pytest.mark.parametrize("name", PURE)
def test_the_pure_modules_are_pure(name: str) -> None:
    names = imported(name)
    assert not {name.partition(".")[0] for name in names} & FORBIDDEN
    own = {name.rpartition(".")[2] for name in names if name.startswith("gauntlet.api.wire.")}
    assert own <= set(PURE)


def test_the_check_for_purity_can_fail() -> None:
    assert imported("server") & FORBIDDEN


@pytest.mark.parametrize(
    ("text", "seconds"), [("1H", 3600), ("2M", 120), ("3S", 3), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9)]
)
def test_timeouts(text: str, seconds: float) -> None:
    assert status.parse_timeout(text) == pytest.approx(seconds)


def test_the_longest_timeout_is_the_longest_duration() -> None:
    assert status.parse_timeout("99999999H") == pytest.approx((2**63 - 1) / 1e9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("S", 'transport: timeout string is too short: "S"'),
        ("123456789S", 'transport: timeout string is too long: "123456789S"'),
        ("12x", 'transport: timeout unit is not recognized: "12x"'),
        ("-1S", 'strconv.ParseUint: parsing "-1": invalid syntax'),
    ],
)
def test_malformed_timeouts(text: str, problem: str) -> None:
    with pytest.raises(RpcError) as caught:
        status.parse_timeout(text)
    assert (caught.value.code, caught.value.message) == (Code.INTERNAL, f"malformed grpc-timeout: {problem}")


def test_compression_survives_and_is_bounded() -> None:
    assert status.decompress(status.compress(b"x" * 1000), 1000) == b"x" * 1000
    with pytest.raises(RpcError, match="larger than max 999"):
        status.decompress(status.compress(b"x" * 1000), 999)
    with pytest.raises(RpcError, match="invalid header"):
        status.decompress(b"plain", 100)
    with pytest.raises(RpcError, match="unexpected EOF"):
        status.decompress(status.compress(b"x" * 1000)[:-3], 2000)


def test_go_quote() -> None:
    assert status.go_quote('a"b\\c\n\x01é') == '"a\\"b\\\\c\\n\\x01é"'


def test_a_context_tells_of_its_end_once() -> None:
    context = Context()
    told: list[int] = []
    context.on_cancel(lambda: told.append(1))
    context.on_cancel(lambda: told.append(2))
    context.cancel()
    context.cancel()
    assert told == [1, 2]
    context.on_cancel(lambda: told.append(3))
    assert told == [1, 2, 3]
    assert context.transport_info("anything") is None


def test_a_method_is_unary_or_a_stream() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Method("/a/b", bytes, bytes)


def test_windows_have_a_least_size() -> None:
    with pytest.raises(ValueError, match="smaller"):
        Limits(stream_window=1000)


def test_a_defect_at_one_deadline_leaves_the_others() -> None:
    class Call:
        answered = False

        def __init__(self, defect: bool) -> None:
            self.defect = defect

        def deadline_passed(self) -> None:
            self.answered = True
            if self.defect:
                raise AttributeError("defect")

    armed: list[float] = []
    deadlines = Deadlines(armed.append)
    good = Call(False)
    deadlines.add(5.0, Call(True))
    deadlines.add(6.0, good)
    assert armed == [5.0]
    with pytest.raises(AttributeError):
        deadlines.expire(5.5)
    assert armed == [5.0, 6.0]
    deadlines.expire(6.0)
    assert good.answered


@pytest.mark.parametrize(
    ("data", "speech"),
    [
        (b"", Speech.OPEN),
        (b"PRI * HTTP/2.0\r\n", Speech.OPEN),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Speech.HTTP2),
        (b"GET / HT", Speech.OPEN),
        (b"GET / HTTP/1.1\r\n", Speech.HTTP1),
        (b"POST / HTTP/1.0\r\n", Speech.HTTP1),
        (b"G" * 5000, Speech.HTTP1),
        (b"\x16\x03\x01", Speech.NEITHER),
        (b"HELLO there\r\n", Speech.NEITHER),
    ],
)
def test_what_a_connection_speaks(data: bytes, speech: Speech) -> None:
    def handler(request: Any, responder: Any) -> None:
        raise AssertionError

    assert Server({}, handler).speaks(data) is speech
    assert Server({}).speaks(data) is Speech.HTTP2
