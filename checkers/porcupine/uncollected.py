"""Without Python's cycle collector while a history is read or judged.

Both make millions of objects that live on and hold no cycles. The collector would walk all of them again and
again and find nothing, for most of the time at a million operations.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """The collector rests, and is as it was afterwards."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
