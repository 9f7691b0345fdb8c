"""Histories that others recorded: the files of the Go checker porcupine, read from its module."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from porcupine import Budget, HistoryError, Outcome, check
from porcupine.formats import edn, jepsen_log, kv_log
from porcupine.models import CasRegister, Kv, KvWhole

pytestmark = pytest.mark.usefixtures("kernel")

MODULE = "github.com/anishathalye/porcupine@v1.3.1"
KV_VERDICTS = {
    name: name.endswith("ok") for name in ("c01-ok", "c01-bad", "c10-ok", "c10-bad", "c50-ok", "c50-bad")
}


@pytest.fixture(scope="module")
def module() -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed: the recorded histories come with a Go module")
    found = subprocess.run(
        [go, "mod", "download", "-json", MODULE], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        pytest.skip(f"the Go module {MODULE} cannot be had: {found.stdout.strip()[-200:]}")
    return Path(json.loads(found.stdout)["Dir"])


@pytest.mark.upstream
def test_the_jepsen_histories_have_the_known_verdicts(module: Path) -> None:
    source = (module / "porcupine_test.go").read_text(encoding="utf-8")
    known = re.findall(r"checkJepsen\(t, (\d+), (true|false)\)", source)
    assert len(known) == 102
    wrong = []
    for number, linearizable in known:
        path = module / "test_data" / "jepsen" / f"etcd_{int(number):03d}.log"
        with path.open(encoding="utf-8") as lines:
            result = check(jepsen_log.read(lines), CasRegister())
        if (result.verdict == "valid") != (linearizable == "true"):
            wrong.append((number, result.verdict))
        if result.verdict == "invalid":
            assert result.explanation is not None
            assert result.explanation.text
    assert not wrong


@pytest.mark.upstream
@pytest.mark.parametrize("name", KV_VERDICTS)
def test_the_kv_histories_have_the_known_verdicts(module: Path, name: str) -> None:
    with (module / "test_data" / "kv" / f"{name}.txt").open(encoding="utf-8") as lines:
        history = kv_log.read(lines)
    budget = Budget(seconds=60)
    assert check(history, Kv(), budget=budget, clock=time.monotonic).verdict == (
        "valid" if KV_VERDICTS[name] else "invalid"
    )
    if name.startswith("c01"):
        whole = check(history, KvWhole(), budget=budget, clock=time.monotonic)
        assert (whole.verdict == "valid") == KV_VERDICTS[name]


def test_a_jepsen_log_is_read_with_its_outcomes() -> None:
    lines = [
        "INFO  jepsen.core - Worker 3 starting",
        "INFO  jepsen.util - 0\t:invoke\t:write\t3",
        "INFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]",
        "INFO  jepsen.util - 0\t:ok\t:write\t3",
        "INFO  jepsen.util - 1\t:fail\t:cas\t[3 4]",
        "INFO  jepsen.util - 2\t:invoke\t:read\tnil",
        "INFO  jepsen.util - 2\t:fail\t:read\t:timed-out",
        "INFO  jepsen.util - 3\t:invoke\t:write\t5",
        "INFO  jepsen.util - 3\t:info\t:write\t:timed-out",
        "INFO  jepsen.util - 4\t:invoke\t:read\tnil",
        "INFO  jepsen.util - :nemesis\t:info\t:stop\tnil",
    ]
    history = jepsen_log.read(lines)
    assert [(each.call, each.outcome, each.response) for each in history] == [
        (("write", 3), Outcome.OK, None),
        (("cas", 3, 4), Outcome.OK, False),
        (("read",), Outcome.FAILED, None),
        (("write", 5), Outcome.UNKNOWN, None),
        (("read",), Outcome.UNKNOWN, None),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("INFO  jepsen.util - 0\t:invoke\t:write\t[1", "never closed"),
        ("INFO  jepsen.util - 0\t:invoke\t:swap\t1", "not an operation of a register"),
        ("INFO  jepsen.util - 7\t:ok\t:write\t1", "never called"),
        ("INFO  jepsen.util - 0\t:maybe\t:write\t1", "unknown kind"),
    ],
)
def test_a_broken_jepsen_line_is_named(line: str, reason: str) -> None:
    lines = ["INFO  jepsen.util - 1\t:invoke\t:read\tnil", line]
    with pytest.raises(HistoryError, match=reason) as error:
        jepsen_log.read(lines)
    assert error.value.line == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{:process 0, :type :invoke", "never closed"),
        ("[1 2]", "not a map"),
        ('{:process 0, :type :ok, :f :get, :key "0", :value ""}', "never called"),
        ('{:process 0, :type :invoke, :f :incr, :key "0", :value 1}', "not an operation of a map"),
    ],
)
def test_a_broken_kv_line_is_named(line: str, reason: str) -> None:
    lines = ['{:process 9, :type :invoke, :f :get, :key "1", :value nil}', "", line]
    with pytest.raises(HistoryError, match=reason) as error:
        kv_log.read(lines)
    assert error.value.line == 3


def test_edn_values() -> None:
    text = r'{:a [1 -2 3.5], :b #{"x\n\"y" nil}, :c (true false), #tag :d sym} ; a comment'
    value = edn.read(text)
    assert value == {
        "a": (1, -2, 3.5),
        "b": frozenset({'x\n"y', None}),
        "c": (True, False),
        "d": "sym",
    }
    assert list(edn.read_all("1, 2 :three")) == [1, 2, "three"]


@pytest.mark.parametrize("text", ["", "1 2", "]", "(1]", "{:a}", '"open', "@"])
def test_edn_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(edn.EdnError):
        edn.read(text)
