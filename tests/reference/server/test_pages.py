"""Paths of the client port's pages."""

from __future__ import annotations

import pytest
from gauntlet.reference.server.http import clean_path


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/health", "/health"),
        ("//health", "/health"),
        ("/./health", "/health"),
        ("/x/../health", "/health"),
        ("/../health/", "/health/"),
        ("/a//b/./", "/a/b/"),
        ("*", "/*"),
    ],
)
def test_clean_path(path: str, clean: str) -> None:
    assert clean_path(path) == clean
