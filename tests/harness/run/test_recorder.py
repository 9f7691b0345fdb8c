from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from gauntlet.api.errors import Code, RpcError
from gauntlet.harness.recorder import Pace, Recorder, RunClock, run_client
from gauntlet.harness.rundir import LineWriter, read_lines
from gauntlet.workloads.base import Invocation, Response, Session

READ = Invocation("get", "k", reads_only=True)
WRITE = Invocation("put", "k", {"value": "v"})
DEFINITE = RpcError(Code.FAILED_PRECONDITION, "no", definite=True)
INDEFINITE = RpcError(Code.UNAVAILABLE, "gone")


class Scripted:
    """Answers with what it was given; a float is a delay that ends in an answer."""

    name = "scripted"
    checks: tuple[str, ...] = ()

    def __init__(self, answer: Response | RpcError | float) -> None:
        self.answer = answer
        self.asked = 0
        self.begun = asyncio.Event()

    def next(self, client: int) -> Invocation:
        return WRITE

    def finals(self) -> list[Invocation]:
        return []

    async def execute(
        self, client: int, session: Session, invocation: Invocation, timeout: float
    ) -> Response:
        self.asked += 1
        self.begun.set()
        if isinstance(self.answer, RpcError):
            raise self.answer.fresh()
        if isinstance(self.answer, float):
            await asyncio.sleep(self.answer)
            return {}
        return self.answer


class Nobody:
    async def call(self, path: str, request: Any, *, timeout: float | None = None) -> Any:
        raise AssertionError("the script answers")


def operate(path: Path, script: Scripted, invocation: Invocation) -> tuple[bool, dict[str, Any]]:
    async def once() -> bool:
        recorder = Recorder(writer, RunClock(), timeout=1.0)
        return await recorder.operate(script, Nobody(), 4, "m2", invocation)

    writer = LineWriter(path)
    answered = asyncio.run(once())
    writer.close()
    (record,) = read_lines(path)
    return answered, record


@pytest.mark.parametrize(
    ("invocation", "answer", "outcome"),
    [
        (WRITE, {"revision": 3}, "ok"),
        (WRITE, DEFINITE, "failed"),
        (WRITE, INDEFINITE, "unknown"),
        (READ, {"revision": 3}, "ok"),
        (READ, DEFINITE, "failed"),
        (READ, INDEFINITE, "failed"),
    ],
)
def test_outcomes(tmp_path: Path, invocation: Invocation, answer: Any, outcome: str) -> None:
    answered, record = operate(tmp_path / "h", Scripted(answer), invocation)
    assert record["outcome"] == outcome
    assert answered == (outcome == "ok")
    assert record["response"] == (answer if outcome == "ok" else None)
    if isinstance(answer, RpcError):
        assert record["error"] == {"code": answer.code.name, "message": answer.message}
    assert (record["client"], record["member"], record["op"], record["key"]) == (4, "m2", invocation.op, "k")
    assert record["args"] == dict(invocation.args)


def test_times_enclose_the_operation(tmp_path: Path) -> None:
    _, record = operate(tmp_path / "h", Scripted(0.05), WRITE)
    assert record["return_ns"] - record["call_ns"] >= 50_000_000
    assert record["call_ns"] >= 0


@pytest.mark.parametrize(("invocation", "outcome"), [(WRITE, "unknown"), (READ, "failed")])
def test_an_operation_cut_off_is_recorded(tmp_path: Path, invocation: Invocation, outcome: str) -> None:
    script = Scripted(60.0)

    async def cut() -> None:
        recorder = Recorder(writer, RunClock(), timeout=1.0)
        task = asyncio.create_task(recorder.operate(script, Nobody(), 0, "m1", invocation))
        await script.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert recorder.counts.total == 1

    writer = LineWriter(tmp_path / "h")
    asyncio.run(cut())
    writer.close()
    (record,) = read_lines(tmp_path / "h")
    assert record["outcome"] == outcome
    assert record["return_ns"] >= record["call_ns"]


def test_clients_share_a_pace(tmp_path: Path) -> None:
    script = Scripted({})

    async def work() -> float:
        recorder = Recorder(writer, RunClock(), timeout=1.0)
        pace = Pace(200.0)
        begin = asyncio.get_running_loop().time()
        clients = [
            run_client(recorder, script, Nobody(), number, "m1", pace, lambda: script.asked < 40)
            for number in range(4)
        ]
        await asyncio.gather(*clients)
        return asyncio.get_running_loop().time() - begin

    writer = LineWriter(tmp_path / "h")
    seconds = asyncio.run(work())
    writer.close()
    assert 40 <= script.asked < 44
    assert seconds >= 39 / 200
    assert len({record["id"] for record in read_lines(tmp_path / "h")}) == script.asked


def test_a_client_that_is_refused_rests(tmp_path: Path) -> None:
    script = Scripted(DEFINITE)

    async def work() -> float:
        recorder = Recorder(writer, RunClock(), timeout=1.0)
        begin = asyncio.get_running_loop().time()
        await run_client(recorder, script, Nobody(), 0, "m1", Pace(1e6), lambda: script.asked < 3)
        return asyncio.get_running_loop().time() - begin

    writer = LineWriter(tmp_path / "h")
    assert asyncio.run(work()) >= 0.2
    writer.close()
