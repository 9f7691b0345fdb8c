"""Import of watch.json of etcd's robustness tests: the form of the file, and that its watches are judged."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from gauntlet.checkers.verdict import CheckResult
from gauntlet.checkers.watch import Effect, judge_watchers, read_robustness_watches, shown_value
from porcupine.history import HistoryError
from porcupine.search import Verdict

LONG = "a value of more than twenty bytes"
EFFECTS = [
    (2, [Effect("key/1", shown_value(b"1"), 2, 1, 0)]),
    (3, [Effect("key/1", shown_value(LONG.encode()), 2, 2, 0), Effect("key/2", shown_value(b"2"), 3, 1, 0)]),
    (4, [Effect("key/1", None)]),
    (5, [Effect("other", shown_value(b"5"), 5, 1, 0)]),
]


def event(kind: str, key: str, revision: int, value: dict[str, Any] | None = None, **more: Any) -> Any:
    return {"Type": f"{kind}-operation", "Key": key, "Value": value or {}, "Revision": revision, **more}


def hashed(value: str) -> dict[str, int]:
    return {"Hash": int(shown_value(value.encode()).partition(":")[2], 16)}


def responses() -> list[dict[str, Any]]:
    before = {"Value": {"Value": "1"}, "ModRevision": 2, "Version": 1}
    return [
        {"Events": [event("put", "key/1", 2, {"Value": "1"}, IsCreate=True)], "Revision": 2, "Time": 100},
        {
            "Events": [
                event("put", "key/1", 3, hashed(LONG), PrevValue=before),
                event("put", "key/2", 3, {"Value": "2"}, IsCreate=True),
            ],
            "Revision": 3,
            "Time": 200,
        },
        {"IsProgressNotify": True, "Revision": 3, "Time": 300},
        {"Events": [event("delete", "key/1", 4)], "Revision": 4, "Time": 400},
        {"Revision": 5, "IsProgressNotify": True, "Time": 500},
        {"Revision": 5, "Time": 600, "Error": "context canceled"},
    ]


REQUEST = {"Key": "key/", "Revision": 2, "WithPrefix": True, "WithProgressNotify": True, "WithPrevKV": True}


def lines(*watches: dict[str, Any]) -> list[str]:
    """Objects one after the other, indented, without commas."""
    text = "".join(json.dumps(each, indent=2) + "\n" for each in watches)
    return text.splitlines(keepends=True)


def judged(*told: dict[str, Any]) -> CheckResult:
    watchers = read_robustness_watches(lines({"Request": REQUEST, "Responses": list(told)}), client=7)
    return judge_watchers(watchers, EFFECTS, complete=True)


def broken(result: CheckResult) -> list[str]:
    return [name for name, each in result.details["guarantees"].items() if each["state"] == "invalid"]


def test_the_hash_is_fnv_1a() -> None:
    assert shown_value(b"short") == "short"
    # From the definition: the offset basis, times the prime, byte by byte.
    assert shown_value(b"a" * 20) == f"fnv32a:{_fnv(b'a' * 20):08x}"
    assert _fnv(b"a") == 0xE40C292C  # a published vector


def _fnv(data: bytes) -> int:
    digest = 2166136261
    for byte in data:
        digest ^= byte
        digest = digest * 16777619 % 2**32
    return digest


def test_a_file_is_read_and_its_watches_are_valid_except_for_what_it_does_not_tell() -> None:
    text = lines({"Request": REQUEST, "Responses": responses()}, {"Request": {"Key": ""}, "Responses": None})
    first, second = read_robustness_watches(text, client=7)
    assert (first.client, first.id, second.id) == (7, 1, 2)
    assert first.request.range_end == "key0"
    assert first.request.start_revision == 2
    assert [each.kind for each in first.deliveries] == [
        "events",
        "events",
        "progress",
        "events",
        "progress",
        "error",
    ]
    assert first.deliveries[1].events[0].value == shown_value(LONG.encode())
    assert first.deliveries[1].prev[0] is not None
    assert second.deliveries == []
    result = judge_watchers([first, second], EFFECTS, complete=True)
    assert not broken(result), result.summary
    # A delete came without its previous value, and the file tells of no compactions.
    assert result.verdict is Verdict.UNKNOWN
    assert [each for each, d in result.details["guarantees"].items() if d["state"] == "not proven"] == [
        "prev_kv"
    ]


@pytest.mark.parametrize(
    ("change", "guarantee"),
    [
        (lambda told: told.pop(0), "resumable"),
        (lambda told: told.pop(3), "bookmarkable"),
        (lambda told: told.insert(0, told.pop(1)), "ordered"),
        (lambda told: told.append(told[0]), "unique"),
        (lambda told: told[1]["Events"].pop(), "atomic"),
        (lambda told: told[0]["Events"][0].update(IsCreate=False), "is_create"),
        (lambda told: told[1]["Events"][0]["PrevValue"].update(ModRevision=1), "prev_kv"),
        (lambda told: told[0]["Events"][0]["Value"].update(Value="x"), "content"),
        (lambda told: told[0]["Events"][0].update(Key="other"), "filter"),
    ],
)
def test_an_altered_file_is_refuted(change: Any, guarantee: str) -> None:
    told = responses()[:-1]
    change(told)
    result = judged(*told)
    assert guarantee in broken(result), result.summary


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n\n{", "line 3: not JSON"),
        ('{"Request": {"Key": "a"}}\n[1]', "line 2: watch 2 is no object"),
        (
            '{"Request": {"Key": "a"}}\n\n{"Responses": null}',
            "line 3: watch 2: the field 'Request' is missing",
        ),
        (
            '{"Request": {"Key": "a"}, "Responses": [{"Time": 1},\n{"Events": [{"Key": "a"}]}]}',
            "line 2: watch 1: response 2: the field 'Revision' is missing",
        ),
        ('{"Request": {"Key": "a"}, "Responses": [\n{"Time": 1}\n{"Time": 2}]}', "line 3: not JSON: '{'"),
        ('{"Request": {"Key": "a"}, "Responses": [\n{"Time": tru}]}', "line 2: not JSON"),
        ('{"Request": {"Key": "a"},\n "Responses": [{"Time": 1}', "line 2: not JSON: the end of the file"),
        ('{"Request": {"Key": "a"},\n 5: 6}', "line 2: not JSON: '5'"),
        ('{"Request": {"Key": "a"},\n\n "Responses": [null]}', "line 3: watch 1: response 1: "),
    ],
)
def test_a_broken_object_is_named_by_its_line(text: str, reason: str) -> None:
    for given in (text.splitlines(keepends=True), [text], list(text)):
        with pytest.raises(HistoryError, match=re.escape(reason)):
            read_robustness_watches(given, client=1)


def test_one_object_with_all_responses_is_not_held_as_text() -> None:
    """The text of a response is a hundred times what becomes of it."""
    count, padding = 2000, "x" * 20_000

    def text() -> Iterator[str]:
        yield '{"Request": {"Key": "a"}, "Responses": ['
        for number in range(count):
            yield f'{{"Revision": {number}, "Time": {number}, "Note": "{padding}"}}'
            yield ",\n" if number < count - 1 else "]}\n"

    tracemalloc.start()
    try:
        (watcher,) = read_robustness_watches(text(), client=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [each.revision for each in watcher.deliveries] == list(range(count))
    assert peak < 8_000_000, "of a text of 40 MB"
