"""The workloads by name."""

from __future__ import annotations

from collections.abc import Callable

from gauntlet.workloads.base import Settings, Workload
from gauntlet.workloads.register import Register

WORKLOADS: dict[str, Callable[[Settings], Workload]] = {"register": Register}


class UnknownWorkload(ValueError):
    """A name that no workload has; the message lists those there are."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown workload {name!r}; known: {', '.join(sorted(WORKLOADS))}")


def make(name: str, settings: Settings) -> Workload:
    """The workload `name`. UnknownWorkload for any other name."""
    if name not in WORKLOADS:
        raise UnknownWorkload(name)
    return WORKLOADS[name](settings)
