"""Our own raft transcripts: each file in tests/scripts/raft tells one story."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STORIES = sorted((Path(__file__).resolve().parents[2] / "scripts" / "raft").glob("*.txt"))


def test_there_are_stories() -> None:
    assert len(STORIES) >= 12


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(
    path: Path, interaction: Any, play_transcript: Callable[[Path, Callable[[Any], str]], int]
) -> None:
    assert play_transcript(path, interaction.handle) >= 10
