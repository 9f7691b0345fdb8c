"""Who leads, out of what members say."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.faults import LeaderObserver
from gauntlet.harness.faults.leader import Leadership, judge

Run = Callable[[Coroutine[Any, Any, None]], None]


def status(member: int, leader: int, term: int) -> pb.StatusResponse:
    return pb.StatusResponse(header=pb.ResponseHeader(member_id=member), leader=leader, raftTerm=term)


def test_judging() -> None:
    assert judge({}) == Leadership(None, 0)
    assert judge({"m1": status(1, 2, 5), "m2": status(2, 2, 5)}) == Leadership("m2", 5)
    # An isolated leader still believes in itself; the higher term is right.
    assert judge({"m1": status(1, 1, 5), "m2": status(2, 2, 6), "m3": status(3, 2, 6)}) == Leadership("m2", 6)
    # The leader does not answer: nobody is known to lead, though others name one.
    assert judge({"m1": status(1, 3, 7), "m2": status(2, 3, 7)}) == Leadership(None, 7)
    assert judge({"m1": status(0, 0, 3)}) == Leadership(None, 3)


class Scripted:
    """Says what it was given, one answer a time."""

    def __init__(self, *answers: pb.StatusResponse | RpcError) -> None:
        self._answers = list(answers)

    async def status(self, *, timeout: float | None = None) -> pb.StatusResponse:
        answer = self._answers.pop(0)
        if isinstance(answer, RpcError):
            raise answer
        return answer


def test_changes_are_written(run: Run, clock: Any, lines: Any) -> None:
    down = RpcError(Code.UNAVAILABLE, "gone", definite=False)

    async def main() -> None:
        clients = {
            "m1": Scripted(status(1, 1, 2), status(1, 1, 2), down, status(1, 2, 3)),
            "m2": Scripted(status(2, 1, 2), down, status(2, 0, 2), status(2, 2, 3)),
        }
        observer = LeaderObserver(clients, clock, lines)
        assert observer.current() is None
        seen = []
        for _ in range(4):
            await observer.sample()
            seen.append((observer.current(), observer.term))
        assert seen == [("m1", 2), ("m1", 2), (None, 2), ("m2", 3)]

    run(main())
    assert [(line["type"], line["member"], line["term"]) for line in lines.lines] == [
        ("leader", "m1", 2),
        ("leader", None, 2),
        ("leader", "m2", 3),
    ]
    moments = [line["at_ns"] for line in lines.lines]
    assert moments == sorted(moments)
