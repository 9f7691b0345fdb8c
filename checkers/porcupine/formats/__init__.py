"""Readers for histories that other tools recorded. Each names a broken line by its number."""

from __future__ import annotations
