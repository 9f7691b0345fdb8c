"""report.html: one file that needs nothing beside it, for runs of every verdict and size."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from gauntlet.harness.report import write_report
from gauntlet.harness.report.data import load_run, points
from gauntlet.harness.report.timeline import timeline
from gauntlet.harness.rundir import RunDirectoryError

Record = dict[str, Any]
SECOND = 1_000_000_000


def operations(count: int, seconds: int = 20) -> list[Record]:
    rng = random.Random(f"report:{count}")
    step = seconds * SECOND // count
    records = []
    for number in range(count):
        call = number * step
        draw = rng.random()
        outcome = "failed" if draw < 0.02 else "unknown" if draw < 0.03 else "ok"
        op = rng.choice(["get", "put"])
        answer = {"revision": number + 2, "value": f"v{number}", "mod_revision": number + 2}
        records.append(
            {
                "id": number,
                "client": number % 9,
                "member": f"m{number % 3 + 1}",
                "op": op,
                "key": f"/k/{number % 5}",
                "args": {"value": f"v{number}"} if op == "put" else {},
                "call_ns": call,
                "return_ns": call + rng.randint(200_000, 20_000_000),
                "outcome": outcome,
                "response": answer if outcome == "ok" else None,
                "error": None if outcome == "ok" else {"code": "UNAVAILABLE", "message": "gone <b>"},
            }
        )
    return records


def explanation(*numbers: int) -> Record:
    return {
        "label": "stale read",
        "text": "get saw an older value </script><script>alert(1)</script>.",
        "operations": list(numbers),
        "shrunk": list(numbers),
        "expectations": [
            {"operation": numbers[-1], "description": "get", "reason": "older", "expected": "b", "got": "a"}
        ],
        "part": "/k/0",
        "explained_operations": 40,
    }


FAULTS: list[Record] = [
    {
        "id": "f1",
        "name": "isolate",
        "kind": "network",
        "start_ns": 2 * SECOND,
        "end_ns": 4 * SECOND,
        "targets": ["m1>m2", "m2>m1"],
        "params": {"member": "m1"},
        "evidence": {
            "bit": True,
            "state": [{"link": "peer-m1-m2", "enabled": False, "toxics": []}],
            "probes": [{"link": "peer-m1-m2", "result": "refused", "ms": 0.3}],
            "traffic": {"peer-m1-m2": {"refused": 7}},
        },
    },
    {
        "id": "f2",
        "name": "kill",
        "kind": "process",
        "start_ns": 3 * SECOND,
        "end_ns": None,
        "targets": ["m3"],
        "params": {},
        "evidence": {"bit": True, "pids": {"m3": 11}, "gone": {"m3": True}, "new_pids": {"m3": 12}},
    },
    {
        "id": "f3",
        "name": "clock",
        "kind": "clock",
        "start_ns": 3 * SECOND,
        "end_ns": 3 * SECOND,
        "targets": [],
        "params": {},
        "evidence": {"refused": "not on this machine"},
    },
]


def make_run(
    path: Path,
    records: list[Record],
    verdict: str | None = "valid",
    why: Record | None = None,
    faults: list[Record] | None = None,
) -> Path:
    def lines(values: list[Record]) -> str:
        return "".join(json.dumps(value) + "\n" for value in values)

    path.mkdir(parents=True, exist_ok=True)
    plan = {
        "target": "etcd:3.7.1",
        "workload": "register",
        "seed": 5,
        "state": "complete",
        "command": "gauntlet run",
    }
    (path / "plan.json").write_text(json.dumps(plan))
    (path / "history.jsonl").write_text(lines(records))
    if faults is not None:
        (path / "faults.jsonl").write_text(lines(faults))
        leaders: list[Record] = [
            {"type": "leader", "at_ns": 0, "member": "m1", "term": 2},
            {"type": "leader", "at_ns": SECOND, "member": "m1", "term": 2},
            {"type": "leader", "at_ns": 2 * SECOND, "member": None, "term": 2},
            {"type": "leader", "at_ns": 3 * SECOND, "member": "m2", "term": 3},
        ]
        (path / "leaders.jsonl").write_text(lines(leaders))
    if verdict is not None:
        check = {"name": "linearizable", "verdict": verdict, "summary": "in short", "details": {"n": 1}}
        results = {
            "verdict": verdict,
            "checks": [{**check, "explanation": why}],
            "command": "gauntlet run --seed 5",
        }
        (path / "results.json").write_text(json.dumps(results))
    return path


class Page(HTMLParser):
    """What a browser would fetch, and what a reader would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts = 0
        self.words: list[str] = []
        self.data = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag == "script":
            self.scripts += 1
            self._inside = named.get("id") or "script"
        elif tag == "style":
            self._inside = "style"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data += data
        elif not self._inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_a_failing_run_names_its_contradiction(tmp_path: Path) -> None:
    records = operations(400)
    for number in (50, 70, 100):
        records[number].update(
            outcome="ok", error=None, response={"revision": 9, "value": "x", "mod_revision": 9}
        )
    run = make_run(tmp_path / "run", records, "invalid", explanation(50, 70, 100), FAULTS)
    page = page_of(run)
    for words in ("invalid", "stale read", "What contradicts what", "gauntlet run --seed 5", "m2"):
        assert words in page.text
    assert "get saw an older value </script>" in page.text, "the text is shown as text"
    assert "isolate (m1>m2, m2>m1)" in page.text, "the cards name the faults that were active"
    assert "1 link switched off; 1 probe refused; 7 connections refused" in page.text
    assert "m3: pid 11 became 12; seen gone: m3" in page.text
    assert "not on this machine" in page.text
    data = json.loads(page.data)
    assert data["marked"] == [50, 70, 100]
    numbered = sorted((bar["number"], bar["id"]) for bar in data["timeline"]["bars"] if bar["number"])
    assert numbered == [(1, 50), (2, 70), (3, 100)]
    shown = data["timeline"]["bars"]
    assert all(bar["to"] >= data["timeline"]["drawn_from"] for bar in shown)
    assert [span["member"] for span in data["leaders"]] == ["m1", None, "m2"]
    assert data["leaders"][0]["to"] == 2_000_000


def test_nothing_is_fetched_and_nothing_breaks_out(tmp_path: Path) -> None:
    text = write_report(
        make_run(tmp_path / "run", operations(300), "invalid", explanation(100, 120), FAULTS)
    ).read_text(encoding="utf-8")
    page = Page(text)
    assert page.fetched == []
    assert page.scripts == 2, "a recorded text opened or closed a script"
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|import\(", text)
    assert "<b>" not in page.data


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("valid", "Every answer of the cluster can be explained."),
        ("unknown", "The run proves nothing either way. linearizable: in short."),
        (None, "Nobody has judged this run yet."),
    ],
)
def test_other_verdicts(tmp_path: Path, verdict: str | None, says: str) -> None:
    page = page_of(make_run(tmp_path / "run", operations(50), verdict))
    assert says in page.text
    assert "What contradicts what" not in page.text
    assert json.loads(page.data)["timeline"] is None


def test_an_empty_history_still_gives_a_report(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path / "run", [], "unknown"))
    assert "0 operations" in page.text


def test_an_operation_that_never_returned_lasts_to_the_end(tmp_path: Path) -> None:
    records = operations(100)
    records[10].update(return_ns=None, outcome="unknown", response=None)
    run = make_run(tmp_path / "run", records, "invalid", explanation(10, 60))
    around = timeline(load_run(run))
    assert around is not None
    (bar,) = (bar for bar in around["bars"] if bar["id"] == 10)
    assert bar["to"] >= records[60]["call_ns"] // 1000
    assert "never returned" in page_of(run).text


def test_a_hundred_thousand_operations_stay_small(tmp_path: Path) -> None:
    """Sampling takes plain ok points only; rates count everything."""
    records = operations(100_000, seconds=300)
    others = [record["id"] for record in records if record["outcome"] != "ok"]
    slow = records[77_777]
    slow["return_ns"] = slow["call_ns"] + 3 * SECOND
    slow.update(outcome="ok", error=None, response={"revision": 1})
    others = [number for number in others if number != 77_777]
    run = make_run(tmp_path / "run", records, "invalid", explanation(50_001, 50_020), FAULTS)
    report = write_report(run)
    assert report.stat().st_size < 5_000_000
    data = json.loads(Page(report.read_text(encoding="utf-8")).data)
    drawn, number = set(), 0
    for step in data["points"]["columns"]["id"]:
        number += step
        drawn.add(number)
    assert set(others) <= drawn
    assert {50_001, 50_020, 77_777} <= drawn
    assert len(drawn) < 50_000
    per_bin = data["rate"]["width_us"] / 1e6
    counted = sum(sum(data["rate"][outcome]) for outcome in ("ok", "failed", "unknown")) * per_bin
    assert counted == pytest.approx(100_000, rel=0.01)
    assert data["points"]["shown"]["all_ok"] + data["points"]["shown"]["all_other"] == 100_000


def test_a_page_is_bounded_whatever_the_history_holds(tmp_path: Path) -> None:
    """Long keys, each used once; nothing answered; operations too many to draw one by one."""
    records = operations(40_000)
    for record in records:
        record["key"] = f"/{record['id']:06d}/" + "k" * 300
        record["client"] = f"client-{record['id'] % 500}-" + "c" * 100
        if record["id"] % 2:
            error = {"code": str(record["id"]), "message": "m" * 900}
            record.update(outcome="unknown", response=None, error=error)
    run = make_run(tmp_path / "run", records, "invalid", explanation(20_000, 20_010))
    report = write_report(run)
    assert report.stat().st_size <= 5_000_000
    page = Page(report.read_text(encoding="utf-8"))
    data = json.loads(page.data)
    around = data["timeline"]
    assert around["from"] <= records[20_000]["call_ns"] // 1000 <= around["to"], (
        "it opens on the contradiction"
    )
    assert around["drawn_from"] < around["from"] < around["to"] < around["drawn_to"]
    assert around["elsewhere"] > 30_000
    assert sum(data["density"]["counts"]) == 40_000, "what is not drawn is counted"
    assert f"{around['elsewhere']:,} operations further away are only counted" in page.text
    assert len(around["rows"]) <= 60


def test_points_can_be_read_back(tmp_path: Path) -> None:
    records = operations(200)
    run = load_run(make_run(tmp_path / "run", records))
    packed = points(run, [])
    time = 0
    for index, record in enumerate(records):
        time += packed["columns"]["t"][index]
        assert time == record["call_ns"] // 1000
        assert packed["names"]["members"][packed["columns"]["m"][index]] == record["member"]
        assert packed["names"]["ops"][packed["columns"]["p"][index]] == record["op"]


def test_a_crowded_window_keeps_what_matters(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", operations(20_000), "invalid", explanation(5, 19_990))
    around = timeline(load_run(run))
    assert around is not None
    assert around["left_out"] > 10_000
    assert {5, 19_990} <= {bar["id"] for bar in around["bars"]}
    assert len(around["bars"]) <= 2_500


def test_broken_directories_are_refused_in_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", operations(3))
    with (run / "history.jsonl").open("a") as history:
        history.write('{"id": 3, "call_ns": "soon"}\n')
    with pytest.raises(RunDirectoryError, match="line 4: not an operation"):
        write_report(run)
    (run / "plan.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"plan\.json"):
        write_report(run)
    assert not list(run.glob("report*")), "no half-written report is left"
