"""python -m gauntlet.harness is the command gauntlet."""

from __future__ import annotations

from gauntlet.harness.cli import main

if __name__ == "__main__":
    main()
