"""The native reader of a run's lines: what it reads, Python reads too; what it cannot read it leaves."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gauntlet.checkers.etcd import calls as c
from gauntlet.checkers.etcd.check import check_etcd
from gauntlet.checkers.etcd.native import WORDS, Columnar, columns_of
from gauntlet.checkers.etcd.records import encode_answer, encode_call
from gauntlet.checkers.etcd.register import decode, of_operation
from gauntlet.checkers.records import Run
from porcupine import History, HistoryError, KernelError, Operation, Outcome, Verdict
from porcupine.jsonl import read_operations
from porcupine.kernel import VARIABLE, choose

SOURCE = Path(__file__).parents[3] / "benchmarks" / "histories.py"
Record = dict[str, Any]


@pytest.fixture(scope="module")
def native() -> Any:
    try:
        return choose("native").native
    except KernelError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def chosen(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "native")


@pytest.fixture(scope="module")
def plain() -> Callable[..., list[Operation]]:
    specification = importlib.util.spec_from_file_location("lines_histories", SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look themselves up there

    def make(seed: int, count: int, clients: int = 10, keys: int = 8) -> list[Operation]:
        made: list[Operation] = module.generate(seed, count, clients, keys, module.Mix.plain())
        return made

    specification.loader.exec_module(module)
    return make


def whole_store(operation: Operation) -> Record:
    answer: Any = operation.response
    return encode_call(operation.call) | {"response": None if answer is None else encode_answer(answer)}  # type: ignore[arg-type]  # a call of the generator


def of_register(operation: Operation) -> Record:
    """The same as the register workload writes it."""
    call, answer = operation.call, operation.response
    response: Record | None = None if answer is None else {"revision": answer.revision}  # type: ignore[attr-defined]
    if isinstance(call, c.Txn):
        put, compare = call.success[0], call.compare[0]
        assert isinstance(put, c.Put)
        args: Record = {"value": put.value.decode(), "expected": compare.value}
        if isinstance(answer, c.TxnAnswer):
            inner = (answer.answers or ())[0]
            response = {**seen(inner), "revision": answer.revision, "succeeded": answer.succeeded}
        return {"op": "cas", "key": put.key.decode(), "args": args, "response": response}
    if isinstance(call, c.Put):
        args = {"value": call.value.decode()}
        return {"op": "put", "key": call.key.decode(), "args": args, "response": response}
    assert isinstance(call, (c.Range, c.Delete))
    if isinstance(answer, c.DeleteAnswer):
        response = {"revision": answer.revision, "deleted": answer.deleted}
    elif answer is not None:
        response = seen(answer) | {"revision": answer.revision}  # type: ignore[attr-defined]
    op = "get" if isinstance(call, c.Range) else "delete"
    return {"op": op, "key": call.key.decode(), "args": {}, "response": response}


def seen(answer: Any) -> Record:
    if not isinstance(answer, c.RangeAnswer):
        return {}
    if not answer.kvs:
        return {"mod_revision": 0}
    kv = answer.kvs[0]
    assert kv.value is not None
    return {
        "value": kv.value.decode(),
        "mod_revision": kv.mod_revision,
        "version": kv.version,
        "create_revision": kv.create_revision,
    }


def records(rng: random.Random, operations: list[Operation]) -> list[Record]:
    """The lines in the order of the returns, each in one of the two vocabularies, some of lost answers."""
    found = []
    for operation in sorted(operations, key=lambda each: each.return_time_ns or 0):
        lost = rng.random() < 0.02 and not c.writes(operation.call)  # type: ignore[arg-type]
        found.append(
            {
                "id": operation.id,
                "client": rng.choice([operation.client, f"lost {operation.id}"])
                if lost
                else operation.client,
                "member": "m1",
                **rng.choice([whole_store, of_register])(operation),
                "call_ns": operation.call_time_ns,
                "return_ns": operation.return_time_ns,
                "outcome": rng.choice(["failed", "unknown"]) if lost else "ok",
                "error": {"code": "UNAVAILABLE", "message": "lost"} if lost else None,
            }
        )
        if lost:
            found[-1]["response"] = None
    return found


def written(rng: random.Random, found: list[Record]) -> bytes:
    styles: list[dict[str, Any]] = [
        {},
        {"separators": (",", ":")},
        {"ensure_ascii": False},
        {"sort_keys": True},
    ]
    ends = ["\n", "\n", "\n", "\r\n", "\n\n", " \n"]
    return "".join(json.dumps(each, **rng.choice(styles)) + rng.choice(ends) for each in found).encode()


def pieces(rng: random.Random, data: bytes) -> Iterator[bytes]:
    while data:
        size = rng.choice([1, 7, 100, 5000, 100_000])
        yield data[:size]
        data = data[size:]


def in_python(data: bytes) -> History:
    return History(read_operations((line.decode() for line in data.split(b"\n")), decode))


def agree(native: Any, rng: random.Random, data: bytes) -> str:
    """What became of it; asserts that both readers agree."""
    columns = columns_of(pieces(rng, data))
    if columns is None:
        return "left"
    operations = list(map(of_operation, in_python(data)))
    outcomes = Counter(operation.outcome for operation in operations)
    assert columns.outcomes == tuple(outcomes[outcome] for outcome in Outcome)
    objects = native.EtcdColumns(operations, WORDS)
    assert (columns.proof(), columns.outcomes) == (objects.proof(), objects.outcomes)
    answered = [operation for operation in operations if operation.is_ok]
    order = sorted(range(len(answered)), key=lambda at: answered[at].response.revision)  # type: ignore[attr-defined]
    if len(order) > 1:
        at = rng.randrange(len(order) - 1)
        order[at], order[at + 1] = order[at + 1], order[at]
    assert (columns.certify(order) is None) == (objects.certify(order) is None)
    return "read" if columns.proof() is None else "proven"


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_file_is_read_and_proven(seed: int, native: Any, plain: Any) -> None:
    rng = random.Random(f"{seed}: plain lines")
    data = written(rng, records(rng, plain(seed, 1500)))
    assert agree(native, rng, data) == "proven"


ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 1.0, 1e3, 2**63, 10**19, "", "ok", "unknown", "failed", "a", "é\n\"\\/",
    "\U0001f600", [], {}, [[]], [{}], {"base64": "YQ=="}, "range", "txn", "put", "get", "lease_grant",
]  # fmt: skip
NAMES = [
    "lease", "prev_kv", "prev_kvs", "limit", "revision", "end", "sort_order", "serializable", "count", "more",
    "deleted", "value", "kvs", "succeeded", "mod_revision", "version", "expected", "responses", "compare",
    "error", "x",
]  # fmt: skip


def bent(rng: random.Random, value: Any) -> Any:
    """The JSON value with one thing in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        draw = rng.random()
        if draw < 0.15:
            return {key: item for key, item in value.items() if key != name}
        if draw < 0.3:
            return value | {rng.choice(NAMES): rng.choice(ODD)}
        return value | {name: bent(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return rng.choice([[*value, value[at]], [*value[:at], bent(rng, value[at]), *value[at + 1 :]]])
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 1000])
    return rng.choice(ODD)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """With a byte or two that JSON may not like."""
    at = rng.randrange(len(data))
    return (
        data[:at]
        + rng.choice([b"", b"\\", b'"', b",", b"\x00", b"\xff", b"1", b"-", b"}", b"\n"])
        + data[at + 1 :]
    )


@pytest.mark.parametrize(
    "block", [*range(2), *(pytest.param(block, marks=pytest.mark.slow) for block in range(2, 40))]
)
def test_both_readers_agree_on_bent_lines(block: int, native: Any, plain: Any) -> None:
    seen: Counter[str] = Counter()
    histories = [plain(number, 12, 3, 2) for number in range(20)]
    for number in range(1500 * block, 1500 * block + 1500):
        rng = random.Random(f"{number}: bent lines")
        found = records(rng, rng.choice(histories))
        for _ in range(rng.randint(1, 2)):
            victim = rng.randrange(len(found))
            found[victim] = bent(rng, found[victim])
        data = written(rng, found) if rng.random() < 0.8 else damaged(rng, written(rng, found))
        try:
            seen[agree(native, rng, data)] += 1
        except (HistoryError, ValueError) as error:
            raise AssertionError(
                f"number {number}: Python refuses what was read: {error}\n{data!r}"
            ) from error
        except (AssertionError, NotImplementedError) as error:
            raise AssertionError(f"number {number}: {error}\n{data.decode()}") from error
    print(block, dict(seen))
    assert min(seen["left"], seen["read"], seen["proven"]) > 20, seen


def test_words_with_escapes_are_read(native: Any) -> None:
    rng = random.Random("escapes")
    lines = [
        {"op": "put", "key": 'é"\\\n', "args": {"value": "\b\f\r\t/é"}, "response": {"revision": 2}},
        {"op": "get", "key": 'é"\\\n', "response": {"revision": 2, "value": "\b\f\r\t/é", "mod_revision": 2}},
    ]  # fmt: skip
    found = [
        {"client": "café", "call_ns": 10 * at, "return_ns": 10 * at + 5, "outcome": "ok", **line}
        for at, line in enumerate(lines)
    ]
    assert agree(native, rng, written(rng, found)) == "proven"
    spelled = json.dumps(found[1]).replace("/", "\\/").replace("\\u00e9", "\\u00E9").encode()
    assert agree(native, rng, json.dumps(found[0]).encode() + b"\n" + spelled) == "proven"


def test_operations_are_made_for_who_looks(plain: Any) -> None:
    rng = random.Random("looks")
    data = written(rng, records(rng, plain(1, 400)))
    read: list[History] = []

    def reader() -> History:
        read.append(in_python(data))
        return read[-1]

    history = Columnar(columns_of([data]), reader)
    result = check_etcd(Run(history))
    assert (result.verdict, len(history), read) == (Verdict.VALID, 400, [])
    again = check_etcd(Run(in_python(data)))
    assert result.summary == again.summary
    assert result.details == again.details
    assert result.proof is not None
    assert again.proof is not None
    assert list(result.proof()) == list(again.proof())
    assert list(history) == list(read[0])
    assert history[3] is read[0][3]
    assert len(read) == 1


def test_what_it_cannot_prove_is_judged_in_python(plain: Any) -> None:
    rng = random.Random("wrong")
    found = records(rng, plain(2, 200))
    wrong = next(each for each in found if each["op"] == "put" and each["outcome"] == "ok")
    wrong["response"]["revision"] += 1
    data = written(rng, found)
    columns = columns_of([data])
    assert columns is not None
    assert columns.proof() is None
    result = check_etcd(Run(Columnar(columns, lambda: in_python(data))))
    assert result.verdict is Verdict.INVALID
    assert result.explanation is not None
    assert result.explanation["text"] == (check_etcd(Run(in_python(data))).explanation or {})["text"]
