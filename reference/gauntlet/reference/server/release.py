"""The release of etcd that this node follows."""

from __future__ import annotations

from typing import Final

VERSION: Final = "3.7.1"
