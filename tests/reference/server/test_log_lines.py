"""The shape of the node's log lines."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
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
