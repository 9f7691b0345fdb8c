#!/usr/bin/env python3
"""Mutant: reads without ReadIndex. Every member answers linearizable reads from its own state at once."""

from __future__ import annotations

import sys

from gauntlet.reference.node import Node
from gauntlet.reference.reads import Release
from gauntlet.reference.server.main import main


def read(self: Node, release: Release) -> None:
    release(None)


Node.read = read

if __name__ == "__main__":
    sys.exit(main())
