"""`gauntlet check`: every format, every exit code, refusals in one line, the page and the certificate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness import cli
from gauntlet.harness.judge import judge, read_run
from gauntlet.harness.rundir import RunDirectory, RunDirectoryError
from gauntlet.harness.saved import CHECKS, read
from porcupine.models import MODELS

Capture = pytest.CaptureFixture[str]
Line = dict[str, Any]
MS = 1_000_000

KV = [
    '{:process 0, :type :invoke, :f :put, :key "a", :value "1"}',
    '{:process 0, :type :ok, :f :put, :key "a", :value "1"}',
    '{:process 1, :type :invoke, :f :get, :key "a", :value nil}',
    '{:process 1, :type :ok, :f :get, :key "a", :value "1"}',
]
CAS = ["INFO  jepsen.util - 0\t:invoke\t:write\t3", "INFO  jepsen.util - 0\t:ok\t:write\t3"]
CAS += ["INFO  jepsen.util - 1\t:invoke\t:read\tnil", "INFO  jepsen.util - 1\t:ok\t:read\t3"]
TXNS = [
    "{:type :invoke, :process 0, :f :txn, :value [[:append 1 1]], :index 0}",
    "{:type :ok, :process 0, :f :txn, :value [[:append 1 1]], :index 1}",
    "{:type :invoke, :process 1, :f :txn, :value [[:r 1 nil]], :index 2}",
    "{:type :ok, :process 1, :f :txn, :value [[:r 1 [1]]], :index 3}",
]
ADDS = [
    "{:type :invoke, :process 0, :f :add, :value 1}",
    "{:type :ok, :process 0, :f :add, :value 1}",
    "{:type :invoke, :process 1, :f :read, :value nil}",
    "{:type :ok, :process 1, :f :read, :value #{1}}",
]
CALLS = [
    '{"client": 0, "call": ["write", 5], "call_ns": 0, "return_ns": 9, "outcome": "ok"}',
    '{"client": 1, "call": ["read"], "response": 5, "call_ns": 20, "return_ns": 29, "outcome": "ok"}',
]


DONE: Line = {"call_ns": 0, "return_ns": 9, "outcome": "ok"}


def robustness(value: str) -> list[str]:
    """A put that etcd's tests wrapped into a transaction, and a read of it."""

    def one(client: int, at: int, asked: Line, told: Line) -> str:
        told = {"Revision": 2, "Error": "", **told}
        return json.dumps({"ClientId": client, "Input": asked, "Call": at, "Output": told, "Return": at + 5})

    put = {"Type": "put-operation", "Put": {"Key": "k", "Value": {"Value": "x"}, "LeaseID": 0}}
    txn = {"Type": "txn", "Txn": {"OperationsOnSuccess": [put]}}
    kv = {"Key": "k", "Value": {"Value": value}, "ModRevision": 2, "Version": 1}
    return [
        one(1, 10, txn, {"Txn": {"Failure": False, "Results": [{}]}}),
        one(2, 30, {"Type": "range", "Range": {"Start": "k"}}, {"Range": {"KVs": [kv], "Count": 1}}),
    ]


def events(revision: int, at_ns: int, value: str) -> Line:
    event = {"Type": "put-operation", "Key": "k", "Value": {"Value": value}, "Revision": revision}
    return {"Revision": revision, "Time": at_ns, "Events": [event | {"IsCreate": revision == 2}]}


ASKED = {"Key": "k", "Revision": 1, "WithPrefix": True}
WATCH = [json.dumps({"Request": ASKED, "Responses": [events(2, 5, "x"), events(3, 9, "y")]})]


def write(path: Path, lines: Sequence[str | Line]) -> Path:
    text = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    return path


def call(*arguments: object) -> int:
    return cli.call(["check", *map(str, arguments)])


def bent(lines: list[str], old: str, new: str) -> list[str]:
    changed = [
        line.replace(old, new) if number == len(lines) - 1 else line for number, line in enumerate(lines)
    ]
    assert changed != lines
    return changed


@pytest.mark.parametrize(
    ("lines", "model", "bad", "taken"),
    [
        (KV, "kv", bent(KV, '"1"', '"2"'), "kv"),
        (CAS, "cas-register", bent(CAS, "3", "4"), "jepsen-log"),
        (CALLS, "register", bent(CALLS, '"response": 5', '"response": 6'), "jsonl"),
        (TXNS, "txn", bent(TXNS, "[1]]", "[2]]"), "edn"),
        (ADDS, "set", bent(ADDS, "#{1}", "#{}"), "edn"),
        (ADDS, "sets", bent(ADDS, "#{1}", "#{}"), "edn"),
        (robustness("x"), "etcd", robustness("y"), "robustness"),
        (WATCH, "watch", bent(WATCH, '"Revision": 3', '"Revision": 2'), "robustness"),
    ],
    ids=["kv", "log", "jsonl", "txn", "set", "sets", "operations.json", "watch.json"],
)
def test_every_format_valid_and_invalid(
    lines: list[str], model: str, bad: list[str], taken: str, tmp_path: Path, capsys: Capture
) -> None:
    good = call(write(tmp_path / "good", lines), "--model", model)
    said = capsys.readouterr().out
    assert f"({taken})" in said, "it says what it took the file for"
    # A watch.json alone does not tell what was lost: that no event is missing stays unproven.
    assert good == (2 if model == "watch" else 0), said
    page = tmp_path / "page.html"
    assert call(write(tmp_path / "bad", bad), "--model", model, "--html", page) == 1
    said = capsys.readouterr().out
    assert said.startswith("INVALID: ")
    assert "evidence" in said
    assert "peak memory" in said
    assert "What this page shows" in page.read_text(encoding="utf-8")
    assert call(tmp_path / "bad", "--model", model, "--json", "--budget", "60") == 1
    results = json.loads(capsys.readouterr().out)
    assert (results["verdict"], results["exit_code"], results["format"]) == ("invalid", 1, taken)
    assert results["explanation"]["label"]


def test_unknown_is_2_and_names_what_blew_up(tmp_path: Path, capsys: Capture) -> None:
    done = {"outcome": "ok", "return_ns": 99}
    lines = [{"client": n, "call": ["enqueue", n], "call_ns": 0, **done} for n in range(16)]
    last = {"client": 50, "call": ["dequeue"], "response": 77, "call_ns": 200}
    lines.append({**last, **done, "return_ns": 201})
    history = write(tmp_path / "h", lines)
    assert call(history, "--model", "queue", "--budget", "0.01", "--certificate", tmp_path / "c") == 2
    said = capsys.readouterr()
    assert said.out.startswith("UNKNOWN: not decided")
    assert "enqueue(" in said.out
    assert "nothing is proven" in said.err
    assert not (tmp_path / "c").exists()


def test_a_certificate_is_written_and_judged(tmp_path: Path, capsys: Capture) -> None:
    good, bad = write(tmp_path / "good", KV), write(tmp_path / "bad", bent(KV, '"1"', '"2"'))
    for history, code in ((good, 0), (bad, 1)):
        proof = tmp_path / f"proof{code}"
        assert call(history, "--model", "kv", "--certificate", proof, "--jobs", 2) == code
        assert call(history, "--model", "kv", "--verify-certificate", proof) == code
    assert call(bad, "--model", "kv", "--verify-certificate", tmp_path / "proof0") == 3
    assert "rejects" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{kv}", "--model", "nonsense"], "unknown model 'nonsense'; there are: cas-register"),
        (["{kv}"], "which model? Give --model; there are: cas-register"),
        (["{kv}", "--model", "kv", "--format", "xml"], "unknown format 'xml'; there are: auto, jsonl"),
        (["{kv}", "--model", "kv", "--budget", "0"], "--budget"),
        (["{kv}", "--model", "kv", "--jobs", "0"], "jobs"),
        (["{kv}", "--model", "kv", "--kernel", "third"], "unknown kernel 'third'"),
        (["{kv}", "--model", "kv", "--html", "{missing}/page"], "cannot write"),
        (["{kv}", "--model", "kv", "--verify-certificate", "{missing}"], "cannot read"),
        (["{kv}", "--model", "kv", "--verify-certificate", "{kv}"], "line 1: not JSON"),
        (["{kv}", "--model", "register"], "judged by the models kv and kv-whole"),
        (["{kv}", "--model", "etcd"], "which the model etcd cannot judge; try kv, kv-whole"),
        (["{txns}", "--model", "txn", "--jobs", "2"], "--jobs is for the models of porcupine; txn is none"),
        (["{ours}", "--model", "register"], "holds operations of a run"),
        (["{shown}", "--model", "sets"], "operation 1: read() of s -> 5"),
        (["{kinds}", "--model", "watch"], "line 1: "),
        (["{missing}", "--model", "kv"], "cannot read"),
        (["{empty}", "--model", "kv"], "is empty"),
        (["{other}", "--model", "kv"], "none of the known formats"),
        (["{cut}", "--model", "kv"], "line 3: "),
        (["{binary}", "--model", "kv"], "line 2: not UTF-8"),
        (["{tmp}"], "no plan.json"),
    ],
)
def test_what_cannot_be_judged_is_one_line_and_code_3(
    arguments: list[str], words: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "binary").write_bytes(f"{KV[0]}\n".encode() + b"\xff\n")
    files: dict[str, Path] = {
        "kv": write(tmp_path / "kv", KV),
        "txns": write(tmp_path / "txns", TXNS),
        "ours": write(
            tmp_path / "ours", [{"id": 0, "op": "get", "key": "a", "call_ns": 0, "outcome": "unknown"}]
        ),
        "shown": write(
            tmp_path / "shown",
            [
                {"id": 0, "client": 0, "op": "add", "key": "s", "args": {"element": 1}, **DONE},
                {"id": 1, "client": 1, "op": "read", "key": "s", "response": {"elements": 5}, **DONE},
            ],
        ),
        "kinds": write(tmp_path / "kinds", [{"kind": "create", "client": 1}]),
        "empty": write(tmp_path / "empty", [""]),
        "other": write(tmp_path / "other", ["root:x:0"]),
        "cut": write(tmp_path / "cut", [*KV[:2], KV[2][:30]]),
        "binary": tmp_path / "binary",
        "missing": tmp_path / "missing",
        "tmp": tmp_path,
    }
    assert call(*(argument.format(**files) for argument in arguments)) == 3
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("gauntlet: ")
    assert error.count("\n") == 1


def test_every_name_is_known_once() -> None:
    assert not set(CHECKS) & set(MODELS)


def test_a_million_lines_are_not_held_as_text(tmp_path: Path) -> None:
    """What reading leaves behind grows with the operations, not with what else stands in their lines."""
    import tracemalloc

    padding = "x" * 20_000
    lines = (
        f'{{:process {n}, :type {kind}, :f :get, :key "a", :value "", :note "{padding}"}}\n'
        for n in range(400)
        for kind in (":invoke", ":ok")
    )
    with (tmp_path / "h").open("w", encoding="utf-8") as file:
        file.writelines(lines)
    tracemalloc.start()
    try:
        saved = read(tmp_path / "h", "auto", "kv")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(saved.run.history) == 400
    assert peak < 8_000_000, "of a file of 16 MB"


# ---- a run's own history ----


def run_lines() -> list[Line]:
    """Writes and reads of two clients on two members, as the register workload records them."""
    lines: list[Line] = []
    for number in range(40):
        at, revision, mine = number * 20 * MS, number // 2 + 2, number % 2 == 0
        put = {"revision": revision, "mod_revision": revision}
        got = {**put, "value": f"v{number - 1}", "create_revision": 2, "version": revision - 1}
        lines.append(
            {
                "id": number,
                "client": number % 2,
                "member": f"m{number % 2 + 1}",
                "op": "put" if mine else "get",
                "key": "/r/k1",
                "args": {"value": f"v{number}"} if mine else {},
                "call_ns": at,
                "return_ns": at + 5 * MS,
                "outcome": "ok",
                "response": put if mine else got,
                "error": None,
            }
        )
    return lines


FAULT: Line = {
    "id": "f1",
    "name": "isolate",
    "kind": "network",
    "start_ns": 580 * MS,
    "end_ns": 640 * MS,
    "targets": ["m2"],
    "params": {},
    "evidence": {"bit": True},
}


@pytest.fixture
def run_directory(tmp_path: Path) -> Callable[[list[Line]], Path]:
    def make(lines: list[Line]) -> Path:
        path = tmp_path / "run"
        path.mkdir(exist_ok=True)
        write(path / "history.jsonl", lines)
        write(path / "faults.jsonl", [FAULT])
        write(
            path / "leaders.jsonl",
            [
                {"type": "leader", "at_ns": 1, "member": "m1", "term": 2},
                {"type": "leader", "at_ns": 5, "member": None, "term": 2},
                {"type": "leader", "at_ns": 9, "member": "m1", "term": 2},
                {"type": "leader", "at_ns": 12, "member": "m2", "term": 3},
            ],
        )
        plan = {"target": "fake", "workload": "register", "seed": 3, "state": "complete", "prefix": "/r"}
        write(path / "plan.json", [plan])
        hashes = {"revision": 9, "members": {"m1": {"hash": 5}, "m2": {"hash": 5}}, "equal": True}
        write(path / "members.json", [{"died": [], "recovery_seconds": 0.1, "hashes": hashes}])
        return path

    return make


def altered(lines: list[Line]) -> list[Line]:
    """One answer is that of the read before: stale."""
    lines[31]["response"] = lines[27]["response"]
    return lines


def test_the_altered_history_of_a_run_explains_itself(
    run_directory: Callable[[list[Line]], Path], capsys: Capture
) -> None:
    path = run_directory(run_lines())
    assert call(path) == 0, capsys.readouterr().out
    assert call(path / "history.jsonl", "--model", "etcd") == 0
    capsys.readouterr()
    path = run_directory(altered(run_lines()))
    for arguments in ([path], [path / "history.jsonl", "--model", "linearizable"]):
        assert call(*arguments, "--html", path / "page.html") == 1
        said = capsys.readouterr().out
        for words in (
            "stale read",
            "#31  get(/r/k1) -> 'v26'",
            "client 1 on m2",
            "0.620000 s to 0.625000 s",
            "faults then: isolate (m2)",
            "Faults active then: isolate (m2).",
            "expected 'v28' at mod_revision 16",
            "got 'v26' at mod_revision 15",
            "re-judged: every order tried",
        ):
            assert words in said, f"{words!r} is not in {said}"
    page = re.sub(
        r"<script.*?</script>", "", (path / "page.html").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    for words in (
        "stale read",
        "isolate (m2)",
        "m2",
        "What could have come next",
        "re-judged: every order tried",
    ):
        assert words in page
    assert cli.call(["recheck", str(path)]) == 1
    said = capsys.readouterr().out
    assert "stale read: get(/r/k1)" in said
    assert "faults then: isolate (m2)" in said
    results = RunDirectory.open(path).read_results()
    assert results["explanation"]["faults"] == ["isolate (m2)"]
    assert [each["member"] for each in results["explanation"]["story"]][-1] == "m2"
    found = {check["name"]: check["details"].get("certificate", {}) for check in results["checks"]}
    assert found["linearizable"]["kernel"]
    assert found["linearizable"]["steps"] > 0
    assert "still fails" in found["linearizable"]["text"]
    assert found["etcd"]["kind"] == "contradiction"


def watch_lines(last: int) -> list[Line]:
    who = {"client": "w", "watcher": "w1"}
    request = {"key": "/r/", "range_end": "/r0", "start_revision": 2}
    lines: list[Line] = [{"kind": "create", **who, "at_ns": 0, "member": "m1", "request": request}]
    lines.append({"kind": "created", **who, "at_ns": 1, "revision": 1})
    for number in range(0, 40, 2):
        revision = number // 2 + 2
        event = {"type": "put", "key": "/r/k1", "value": f"v{number}", "mod_revision": revision}
        event |= {"create_revision": 2, "version": revision - 1, "lease": 0, "prev_kv": None}
        at = number * 20 * MS + 6 * MS
        if revision <= last:
            lines.append({"kind": "events", **who, "at_ns": at, "revision": revision, "events": [event]})
    return [*lines, {"kind": "progress", **who, "at_ns": 900 * MS, "revision": 21}]


def test_watches_of_a_run_are_judged_against_its_history(run_directory: Callable[[list[Line]], Path]) -> None:
    path = run_directory(run_lines())
    run = read_run(RunDirectory.open(path))
    assert run.leader_changes == [1, 12], "the same leader seen again is no change"
    assert not run.watches
    write(path / "watches.jsonl", watch_lines(21))
    results = judge(RunDirectory.open(path))
    (watch,) = (check for check in results["checks"] if check["name"] == "watch")
    assert (watch["verdict"], results["verdict"]) == ("valid", "valid"), watch
    assert watch["details"]["events"] == 20
    write(path / "watches.jsonl", watch_lines(15))
    assert judge(RunDirectory.open(path))["verdict"] == "invalid", "a progress notification told of more"
    write(path / "watches.jsonl", [{"kind": "created", "client": "w", "watcher": "w1", "at_ns": 1}])
    with pytest.raises(RunDirectoryError, match=r"watches\.jsonl: line 1: "):
        judge(RunDirectory.open(path))
    (path / "leaders.jsonl").unlink()
    assert RunDirectory.open(path).leader_changes() is None
