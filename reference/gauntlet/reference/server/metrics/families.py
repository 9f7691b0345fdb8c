"""Prometheus' values out of plain numbers, and their text form.

etcd has counters whose names do not end in `_total`, which prometheus-client's own writer cannot say; so the
text (exposition format 0.0.4) is written here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

from gauntlet.reference.server.metrics.tally import Histogram
from prometheus_client.metrics_core import Metric

Labels = tuple[str, ...]
Key = TypeVar("Key", bound=Labels)


def counter(name: str, words: str, value: float | None = None) -> Metric:
    return _single(name, words, "counter", value)


def gauge(name: str, words: str, value: float | None = None) -> Metric:
    return _single(name, words, "gauge", value)


def labelled(name: str, words: str, kind: str, labels: Labels, values: Mapping[Key, float]) -> Metric:
    """`kind` is counter or gauge; a value for each tuple of label values."""
    metric = Metric(name, words, kind)
    for key, value in values.items():
        metric.add_sample(name, dict(zip(labels, key, strict=True)), value)
    return metric


def histogram(
    name: str, words: str, values: Mapping[Key, Histogram] | Histogram, labels: Labels = ()
) -> Metric:
    metric = Metric(name, words, "histogram")
    ones: Iterable[tuple[Labels, Histogram]]
    ones = [((), values)] if isinstance(values, Histogram) else values.items()
    for key, one in ones:
        named = dict(zip(labels, key, strict=True))
        running = 0
        for bound, count in zip((*one.bounds, math.inf), one.counts, strict=True):
            running += count
            metric.add_sample(f"{name}_bucket", {**named, "le": _number(bound)}, running)
        metric.add_sample(f"{name}_sum", named, one.sum)
        metric.add_sample(f"{name}_count", named, running)
    return metric


def text(metrics: Iterable[Metric]) -> bytes:
    """Sorted by name, labels too, as Go's client writes them."""
    lines: list[str] = []
    for name, metric in sorted((_header_name(metric), metric) for metric in metrics if metric.samples):
        lines.append(f"# HELP {name} {_escape(metric.documentation)}\n")
        lines.append(f"# TYPE {name} {_KINDS.get(metric.type, metric.type)}\n")
        for sample in metric.samples:
            labels = ",".join(
                f'{key}="{_escape(value).replace(_QUOTE, _ESCAPED_QUOTE)}"'
                for key, value in sorted(sample.labels.items(), key=_label_order)
            )
            braced = f"{{{labels}}}" if labels else ""
            lines.append(f"{sample.name}{braced} {_number(sample.value)}\n")
    return "".join(lines).encode()


def _label_order(label: tuple[str, str]) -> tuple[bool, str]:
    """By name, the bound of a bucket last."""
    return label[0] == "le", label[0]


_QUOTE, _ESCAPED_QUOTE = '"', '\\"'
_KINDS = {"unknown": "untyped", "info": "gauge", "stateset": "gauge", "gaugehistogram": "histogram"}


def _header_name(metric: Metric) -> str:
    """prometheus-client keeps the names of its own counters without their suffix."""
    return str(metric.samples[0].name) if metric.type in ("counter", "info") else str(metric.name)


def _single(name: str, words: str, kind: str, value: float | None) -> Metric:
    metric = Metric(name, words, kind)
    if value is not None:
        metric.add_sample(name, {}, value)
    return metric


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _escape(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\n", "\\n")
