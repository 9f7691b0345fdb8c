"""The shape of the node's log lines."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference.server.log import Logger

HERE = "server/test_log_lines.py:"


@pytest.fixture
def python_logging() -> Iterator[None]:
    """Everything global about logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_compact_and_says_where_it_comes_from(tmp_path: Path) -> None:
    log = Logger("info", (str(tmp_path / "log"),))
    log.info("first", some_field=1)
    log.log("warn", "second")
    log.debug("not seen")
    log.close()
    text = (tmp_path / "log").read_text()
    assert text.startswith('{"level":"info","ts":"')
    assert text.splitlines()[0].endswith('"msg":"first","some-field":1}')
    first, second = entries(tmp_path / "log")
    assert list(first) == ["level", "ts", "caller", "msg", "some-field"]
    assert datetime.strptime(first["ts"], "%Y-%m-%dT%H:%M:%S.%f%z").tzinfo is not None
    assert first["caller"].startswith(HERE)
    assert second["caller"].startswith(HERE)
    assert int(second["caller"].rpartition(":")[2]) == int(first["caller"].rpartition(":")[2]) + 1


def test_columns(tmp_path: Path) -> None:
    log = Logger("info", (str(tmp_path / "log"),), "console")
    log.warn("words", a=1)
    log.close()
    _, level, caller, words, fields = (tmp_path / "log").read_text().rstrip("\n").split("\t")
    assert (level, words, json.loads(fields)) == ("warn", "words", {"a": 1})
    assert caller.startswith(HERE)


@pytest.mark.usefixtures("python_logging")
@pytest.mark.filterwarnings("default")
def test_what_is_said_in_pythons_way_has_the_same_shape(tmp_path: Path) -> None:
    log = Logger("info", (str(tmp_path / "log"),))
    log.relay()
    speaker = logging.getLogger("gauntlet.somewhere")
    speaker.warning("peer %s", "a")
    speaker.debug("not seen")
    try:
        raise ValueError("inner")
    except ValueError:
        speaker.exception("outer")
    warnings.warn("odd certificate", stacklevel=1)
    log.close()
    warned, failed, odd = entries(tmp_path / "log")
    assert (warned["level"], warned["msg"]) == ("warn", "peer a")
    assert warned["caller"].startswith(HERE)
    assert (failed["level"], failed["msg"]) == ("error", "outer")
    assert failed["error"].endswith("ValueError: inner")
    assert odd["level"] == "warn"
    assert "odd certificate" in odd["msg"]


def test_what_a_member_says_of_its_settings(
    launch: Callable[..., Any], ports: Callable[[int], list[int]]
) -> None:
    client, peer = (f"http://127.0.0.1:{port}" for port in ports(2))
    member = launch(
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}", "--unsafe-no-fsync", "--max-snapshots=10"),
        *("--v2-deprecation", "write-only-drop-data", "--snapshot-catchup-entries", "1000"),
        *("--bootstrap-defrag-threshold-megabytes", "7"),
    )
    member.wait_for("ready to serve client requests")
    lines = {line["msg"]: line for line in map(json.loads, member.log.splitlines())}
    deprecated = "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8."
    assert lines[deprecated]["level"] == "warn"
    enforced = "The default value is enforced, ignoring user input."
    words = f"--v2-deprecation is deprecated and scheduled for removal in v3.8. {enforced}"
    assert lines[words]["level"] == "warn"
    assert lines["starting an etcd server"]["snapshot-catchup-entries"] == 1000
    assert lines["starting an etcd server"]["v2-deprecation"] == "write-only"
    assert lines["Skipping defragmentation"]["bootstrap-defrag-threshold-bytes"] == 7 << 20
