from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.checkers.records import Answer, Call, decode
from gauntlet.workloads.base import Invocation, Settings
from gauntlet.workloads.register import DELETE, PUT, RANGE, TXN, Register, Seen
from gauntlet.workloads.registry import UnknownWorkload, make

KEY = "/gauntlet/register/0"
PAIR = mvccpb.KeyValue(key=KEY.encode(), value=b"3.1", mod_revision=7, create_revision=4, version=2)


class Answers:
    """A member that gives one answer and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any, float | None]] = []

    async def call(self, path: str, request: Any, *, timeout: float | None = None) -> Any:
        self.asked.append((path, request, timeout))
        return self.answer


def workload(seed: int = 1, clients: int = 3, keys: int = 4) -> Register:
    return Register(Settings(seed=seed, clients=clients, keys=keys))


def ask(invocation: Invocation, answer: Any) -> tuple[dict[str, Any], Answers]:
    session = Answers(answer)
    return asyncio.run(workload().execute(0, session, invocation, 1.5)), session


def header(revision: int) -> pb.ResponseHeader:
    return pb.ResponseHeader(revision=revision)


def drawn(register: Register, client: int, count: int = 300) -> list[Invocation]:
    return [register.next(client) for _ in range(count)]


def test_the_seed_decides_each_clients_operations() -> None:
    assert drawn(workload(1), 0) == drawn(workload(1), 0)
    assert drawn(workload(1), 0) != drawn(workload(2), 0)
    one = workload(1)
    drawn(one, 1)
    assert drawn(one, 0) == drawn(workload(1), 0), "another client's operations change nothing"


def test_the_mix_has_everything() -> None:
    operations = drawn(workload(), 0, 2000)
    counts = {op: sum(each.op == op for each in operations) for op in ("get", "put", "cas", "delete")}
    assert sum(counts.values()) == 2000
    assert min(counts.values()) > 60
    assert {each.key for each in operations} == {f"/gauntlet/register/{key}" for key in range(4)}
    assert all(each.reads_only == (each.op == "get") for each in operations)


def test_values_are_written_once() -> None:
    register = workload()
    values = [
        each.args["value"] for client in range(3) for each in drawn(register, client) if "value" in each.args
    ]
    assert len(set(values)) == len(values) > 300


def test_final_reads_cover_every_key() -> None:
    finals = workload(keys=4).finals()
    assert [each.op for each in finals] == ["get"] * 4
    assert len({each.key for each in finals}) == 4
    assert all(each.reads_only for each in finals)


GET = Invocation("get", KEY, reads_only=True)
CAS = Invocation("cas", KEY, {"expected": 7, "value": "0.1"})
REFUSED = pb.TxnResponse(
    header=header(9), responses=[pb.ResponseOp(response_range=pb.RangeResponse(kvs=[PAIR]))]
)
SWAPPED = pb.TxnResponse(
    header=header(9), succeeded=True, responses=[pb.ResponseOp(response_put=pb.PutResponse())]
)
SAW = {"value": "3.1", "mod_revision": 7, "create_revision": 4, "version": 2}
ABSENT = {"value": None, "mod_revision": 0}


@pytest.mark.parametrize(
    ("invocation", "answer", "path", "response"),
    [
        (GET, pb.RangeResponse(header=header(9), kvs=[PAIR]), RANGE, {"revision": 9, **SAW}),
        (GET, pb.RangeResponse(header=header(9)), RANGE, {"revision": 9, **ABSENT}),
        (
            Invocation("put", KEY, {"value": "0.1"}),
            pb.PutResponse(header=header(9)),
            PUT,
            {"revision": 9, "mod_revision": 9},
        ),
        (
            Invocation("delete", KEY),
            pb.DeleteRangeResponse(header=header(9), deleted=1),
            DELETE,
            {"revision": 9, "deleted": 1},
        ),
        (CAS, SWAPPED, TXN, {"revision": 9, "succeeded": True, "mod_revision": 9}),
        (CAS, REFUSED, TXN, {"revision": 9, "succeeded": False, **SAW}),
    ],
)
def test_answers(invocation: Invocation, answer: Any, path: str, response: dict[str, Any]) -> None:
    recorded, session = ask(invocation, answer)
    assert recorded == response
    ((asked, request, timeout),) = session.asked
    assert (asked, timeout) == (path, 1.5)
    assert KEY.encode() in request.SerializeToString()


def test_the_checker_reads_what_the_workload_records() -> None:
    recorded, _ = ask(CAS, REFUSED)
    line = {"op": "cas", "key": KEY, "args": dict(CAS.args), "response": recorded}
    call, answer = decode(line)
    assert isinstance(call, Call)
    assert call == Call("cas", KEY, value="0.1", expected=7)
    assert isinstance(answer, Answer)
    assert answer._asdict() == {
        "revision": 9,
        "succeeded": False,
        "deleted": None,
        **SAW,
    }


@pytest.mark.parametrize(
    ("invocation", "answer"),
    [
        (GET, pb.RangeResponse(kvs=[PAIR, PAIR])),
        (GET, pb.RangeResponse(kvs=[mvccpb.KeyValue(key=b"another")])),
        (CAS, pb.TxnResponse(succeeded=True)),
        (CAS, pb.TxnResponse(succeeded=True, responses=REFUSED.responses)),
        (CAS, pb.TxnResponse(responses=SWAPPED.responses)),
    ],
)
def test_an_answer_that_makes_no_sense_is_no_definite_error(invocation: Invocation, answer: Any) -> None:
    with pytest.raises(RpcError) as raised:
        ask(invocation, answer)
    assert raised.value.code is Code.INTERNAL
    assert not raised.value.definite


def test_a_swap_expects_what_was_seen() -> None:
    register = workload(keys=1)
    asyncio.run(register.execute(1, Answers(pb.RangeResponse(header=header(9), kvs=[PAIR])), GET, 1.0))
    expected = {each.args["expected"] for each in drawn(register, 0) if each.op == "cas"}
    assert expected == {0, 7}, "what it saw itself, which is nothing, or what another client saw"
    assert {each.args["expected"] for each in drawn(register, 1) if each.op == "cas"} == {7}


@pytest.mark.parametrize(
    ("notes", "newest"),
    [([], 0), ([(5, 5)], 5), ([(5, 5), (4, 4)], 5), ([(5, 5), (6, 0)], 0), ([(5, 3), (5, 5)], 5)],
)
def test_the_newest_answer_counts(notes: Sequence[tuple[int, int]], newest: int) -> None:
    seen = Seen()
    for revision, mod_revision in notes:
        seen.note("k", revision, mod_revision)
    assert seen.of("k") == newest


def test_workloads_by_name() -> None:
    assert make("register", Settings(1, 1)).name == "register"
    with pytest.raises(UnknownWorkload, match=re.escape("unknown workload 'x'; known: register")):
        make("x", Settings(1, 1))
