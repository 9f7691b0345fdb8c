"""The parts of the suite that need no member."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gauntlet.api.errors import COMPACTED, EMPTY_KEY
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import mvccpb
from gauntlet.harness.conformance import cases
from gauntlet.harness.conformance.case import (
    AREAS,
    REGISTRY,
    Case,
    Registry,
    case,
    parse_version,
    show_version,
)
from gauntlet.harness.conformance.expect import Mismatch, expect, expect_error
from gauntlet.harness.conformance.http1 import HttpAnswer
from gauntlet.harness.conformance.known import KNOWN, known
from gauntlet.harness.conformance.normalise import Normaliser
from gauntlet.harness.conformance.page import as_html
from gauntlet.harness.conformance.random.paste import case_source, source
from gauntlet.harness.conformance.random.steps import NOW, Step, resolve
from gauntlet.harness.conformance.report import as_json, as_text
from gauntlet.harness.conformance.runner import Outcome, Result, Status, compare, difference
from gauntlet.harness.conformance.talk import Exchange, Talk

assert cases.__name__


async def _nothing(_talk: Talk) -> None:
    """Promises <nothing>."""


def made(name: str = "a_case", *, since: str = "3.5", until: str | None = None) -> Case:
    registry = Registry()
    _nothing.__name__ = name
    case("kv", since=since, until=until, registry=registry)(_nothing)
    return registry.all()[0]


# ---- the table ----


def test_every_area_has_cases_and_names_are_unique() -> None:
    every = REGISTRY.all()
    assert {item.area for item in every} == set(AREAS)
    assert len({item.name for item in every}) == len(every) > 500
    assert all(item.text for item in every)


def test_a_name_cannot_be_entered_twice() -> None:
    registry = Registry()
    case("kv", registry=registry)(_nothing)
    with pytest.raises(ValueError, match="two cases"):
        case("kv", registry=registry)(_nothing)


def test_selection_by_area_and_name() -> None:
    assert {item.area for item in REGISTRY.select(["lock", "http"])} == {"lock", "http"}
    assert [item.name for item in REGISTRY.select(globs=["kv.put_then_get"])] == ["kv.put_then_get"]
    assert REGISTRY.select(["lock"], ["put_then_get"]) == []


@pytest.mark.parametrize(
    ("text", "version"), [("3.7.1", (3, 7, 1)), ("3.6", (3, 6, 0)), ("3.7.0-rc.1", (3, 7, 0))]
)
def test_versions(text: str, version: tuple[int, int, int]) -> None:
    assert parse_version(text) == version


def test_nonsense_is_no_version() -> None:
    with pytest.raises(ValueError, match="not a version"):
        parse_version("three")


def test_a_case_is_offered_from_one_version_until_another() -> None:
    item = made(since="3.5", until="3.7")
    assert [item.offered_by(parse_version(v)) for v in ("3.4.23", "3.5.0", "3.6.14", "3.7.0")] == [
        *(False, True, True, False)
    ]


def test_known_bugs_belong_to_cases_and_name_an_issue() -> None:
    names = {item.name for item in REGISTRY.all()}
    for entry in KNOWN:
        assert entry.case in names
        assert entry.where.startswith("https://github.com/etcd-io/etcd/")
        for first, until in entry.spans:
            assert known(entry.case, first) is entry
            assert known(entry.case, until) is None


# ---- expectations ----


def test_a_mismatch_says_both_sides() -> None:
    with pytest.raises(Mismatch, match="count: expected 2, got 1"):
        expect("count", 1, 2)


def test_an_error_is_compared_with_code_and_message() -> None:
    expect_error("x", EMPTY_KEY.fresh(), EMPTY_KEY)
    with pytest.raises(Mismatch, match=r"key is not provided.*required revision has been compacted"):
        expect_error("x", COMPACTED, EMPTY_KEY)


# ---- normalising ----


def header(**fields: int) -> pb.ResponseHeader:
    return pb.ResponseHeader(**fields)


def test_revisions_count_from_the_base_and_ids_are_hidden() -> None:
    one = pb.PutResponse(header=header(cluster_id=1, member_id=2, revision=12, raft_term=3))
    other = pb.PutResponse(header=header(cluster_id=7, member_id=8, revision=102, raft_term=9))
    assert Normaliser(10).message(one) == Normaliser(100).message(other)
    assert "base+2" in Normaliser(10).message(one)


def test_a_missing_id_is_a_difference() -> None:
    one = pb.PutResponse(header=header(cluster_id=1, revision=12))
    other = pb.PutResponse(header=header(revision=12))
    assert Normaliser(10).message(one) != Normaliser(10).message(other)


def test_leases_that_the_server_named_have_neutral_names_also_in_keys() -> None:
    texts = []
    for lease in (0xABC123, 0x7777777):
        names = Normaliser(0)
        names.lease_named(lease)
        kv = mvccpb.KeyValue(key=f"l/{lease:x}".encode(), lease=lease)
        texts.append(names.message(pb.RangeResponse(kvs=[kv], count=1)))
    assert texts[0] == texts[1]
    assert "lease: lease#1" in texts[0]


def test_values_are_never_hidden() -> None:
    one, other = (pb.RangeResponse(kvs=[mvccpb.KeyValue(key=b"a", value=v)]) for v in (b"1", b"2"))
    assert Normaliser(0).message(one) != Normaliser(0).message(other)


def test_time_left_counts_as_granted_for_a_while() -> None:
    fresh, later, gone = (pb.LeaseTimeToLiveResponse(ID=1, TTL=ttl, grantedTTL=60) for ttl in (60, 59, 20))
    names = Normaliser(0)
    assert names.message(fresh) == names.message(later) != names.message(gone)


def test_json_zeroes_and_number_strings_do_not_matter() -> None:
    kind = {"content-type": "application/json"}
    one = HttpAnswer(200, kind, b'{"header":{"cluster_id":"5","revision":"12"},"count":"0","more":false}')
    other = HttpAnswer(200, kind, b'{"header":{"cluster_id":"9","revision":12}}')
    assert Normaliser(10).http(one) == Normaliser(10).http(other)


# ---- comparing ----


def test_difference_in_words() -> None:
    left = Exchange("", "/p", "R{}", "A{x: 1}")
    assert difference(left, Exchange("", "/p", "R{}", "A{x: 1}"), ["l", "r"]) == ""
    assert "l answered A{x: 1}; r answered A{}" in difference(
        left, Exchange("", "/p", "R{}", "A{}"), ["l", "r"]
    )
    assert "r has no exchange" in difference(left, None, ["l", "r"])


def test_compare_takes_one_failure_for_a_difference() -> None:
    item = made()
    good, bad = Result(item, Status.PASS), Result(item, Status.FAIL, "why")
    assert compare(item, good, bad, ["l", "r"]).status is Status.DIFFERENT
    assert compare(item, bad, bad, ["l", "r"]).status is Status.FAIL
    assert compare(item, good, Result(item, Status.NOT_OFFERED), ["l", "r"]).status is Status.NOT_OFFERED


# ---- reports ----


def outcome() -> Outcome:
    results = [
        Result(made("good"), Status.PASS),
        Result(made("bad"), Status.FAIL, "count: expected 2, got <1>"),
        Result(made("late"), Status.NOT_OFFERED, "needs 3.7"),
    ]
    return Outcome("reference", "3.7.1", None, "", 7, results, 1.5)


def test_text_report() -> None:
    text = as_text(outcome())
    assert "kv.bad: count: expected 2, got <1>" in text
    assert "kv.late: needs 3.7" in text
    assert "3 cases in 1.5 s, seed 7" in text
    assert not outcome().ok


def test_json_report() -> None:
    data = json.loads(as_json(outcome()))
    assert data["counts"]["fail"] == 1
    assert data["ok"] is False
    assert [row["status"] for row in data["cases"]] == ["pass", "fail", "not offered"]


def test_html_report_escapes() -> None:
    page = as_html(outcome())
    assert "expected 2, got &lt;1&gt;" in page
    assert "Promises &lt;nothing&gt;." in page
    assert "<1>" not in page
    assert "1 of 3 cases need a look" in page


def test_html_report_puts_what_needs_a_look_first_and_links_known_bugs() -> None:
    results = [
        Result(made("good"), Status.PASS),
        Result(made("old"), Status.KNOWN, "https://example.org/a/1: it <forgets>"),
    ]
    page = as_html(Outcome("reference", "3.7.1", "etcd:3.6.14", "3.6.14", 7, results, 1.5))
    assert "Nothing failed or differed" in page
    assert page.index("kv.old") < page.index("<details>") < page.index("<code>good</code>")
    assert '<a href="https://example.org/a/1">https://example.org/a/1</a>: it &lt;forgets&gt;' in page


# ---- random steps as text ----


def test_revisions_are_resolved_inside_nested_requests() -> None:
    inner = pb.RequestOp(request_range=pb.RangeRequest(key=b"a", revision=NOW + 3))
    request = pb.TxnRequest(success=[pb.RequestOp(request_txn=pb.TxnRequest(success=[inner]))])
    found = resolve(request, 50)
    assert isinstance(found, pb.TxnRequest)
    assert found.success[0].request_txn.success[0].request_range.revision == 53
    assert request.success[0].request_txn.success[0].request_range.revision == NOW + 3


def test_pasted_source_makes_the_same_request() -> None:
    request = pb.TxnRequest(
        compare=[pb.Compare(key=b"a", target=pb.Compare.VALUE, value=b"\x00")],
        success=[pb.RequestOp(request_put=pb.PutRequest(key=b"k" * 300, lease=5, prev_kv=True))],
    )
    assert eval(source(request), {"pb": pb}) == request


def test_pasted_case_compiles() -> None:
    steps = [Step(pb.RangeRequest(key=b"a", revision=NOW + 2), connection=1)]
    text = case_source("difference_1", steps, [("one", "A{}"), ("other", "B{}")])
    compile(text, "pasted", "exec")
    assert "pb.RangeRequest(key=b'a', revision=t.base + 2), via=\"/1\")" in text


def test_the_document_shows_the_known_bugs() -> None:
    document = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in document.splitlines() if line.count("](https://") == 1]
    shown = {row[0].removeprefix("| "): row[1] for row in rows if len(row) == 4}
    assert shown == {
        entry.case: ", ".join(f"{a[0]}.{a[1]} before {show_version(b)}" for a, b in entry.spans)
        for entry in KNOWN
    }
    assert f"{len(REGISTRY.all())} named cases" in document
