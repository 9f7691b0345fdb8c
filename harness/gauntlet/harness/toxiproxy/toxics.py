"""Which toxics there are, which attributes they take, and which values mean something.

The one table behind the adapter, which refuses nonsense before it is sent, and the embedded server, which
answers nonsense with 400. The real server takes some of it and dies (a negative bandwidth rate, a slicer of
average size 0), so the limits here are stricter than its own.
Units: latency, jitter, timeout and delay of slow_close are ms; delay of slicer is us; rate is KB/s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
STREAMS = (UPSTREAM, DOWNSTREAM)

_INT64 = 2**63 - 1
_MOST_MS = _INT64 // 10**6  # a longer time does not fit the real server's nanoseconds
_MOST_RATE = _INT64 // 10**6  # it multiplies a rate by 100, and we bytes by 1000


class InvalidToxic(ValueError):
    """A toxic nobody can carry out, said in one line."""


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class ToxicType:
    name: str
    attributes: tuple[Attribute, ...]


def _ms(name: str) -> Attribute:
    return Attribute(name, 0, _MOST_MS)


TYPES: dict[str, ToxicType] = {
    kind.name: kind
    for kind in (
        ToxicType("noop", ()),
        ToxicType("latency", (_ms("latency"), _ms("jitter"))),
        ToxicType("bandwidth", (Attribute("rate", 0, _MOST_RATE),)),
        ToxicType("slow_close", (_ms("delay"),)),
        ToxicType("timeout", (_ms("timeout"),)),
        ToxicType("reset_peer", (_ms("timeout"),)),
        ToxicType(
            "slicer",
            (
                Attribute("average_size", 1, 2**31 - 1),
                Attribute("size_variation", 0, 2**31 - 1),
                Attribute("delay", 0, _INT64 // 10**3),
            ),
        ),
        ToxicType("limit_data", (Attribute("bytes", 0, _INT64),)),
    )
}


def check_type(kind: str) -> ToxicType:
    if kind not in TYPES:
        raise InvalidToxic(f"unknown toxic {kind!r}; known are {', '.join(sorted(TYPES))}")
    return TYPES[kind]


def check_stream(stream: str) -> str:
    if stream not in STREAMS:
        raise InvalidToxic(f"stream {stream!r} is neither upstream nor downstream")
    return stream


def check_toxicity(toxicity: object) -> float:
    if isinstance(toxicity, bool) or not isinstance(toxicity, (int, float)):
        raise InvalidToxic(f"toxicity must be a number from 0 to 1, not {toxicity!r}")
    if not math.isfinite(toxicity) or not 0 <= toxicity <= 1:
        raise InvalidToxic(f"toxicity must lie between 0 and 1, not {toxicity}")
    return float(toxicity)


def check_attributes(kind: str, attributes: Mapping[str, object]) -> dict[str, int]:
    """Every attribute of the toxic with its value (0 where none is given), or InvalidToxic."""
    known = {attribute.name: attribute for attribute in check_type(kind).attributes}
    for name in attributes:
        if name not in known:
            names = ", ".join(known) or "none"
            raise InvalidToxic(f"toxic {kind} has no attribute {name!r}; it takes {names}")
    checked: dict[str, int] = {}
    for name, attribute in known.items():
        value = attributes.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidToxic(f"toxic {kind}: {name} must be a whole number, not {value!r}")
        if not attribute.least <= value <= attribute.most:
            raise InvalidToxic(
                f"toxic {kind}: {name} must lie between {attribute.least} and {attribute.most}, not {value}"
            )
        checked[name] = value
    if kind == "slicer" and checked["size_variation"] >= checked["average_size"]:
        raise InvalidToxic("toxic slicer: size_variation must be less than average_size")
    return checked
