"""Growth as a picture: two panels on logarithmic axes, written as SVG without any library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Curves = Mapping[str, Sequence[tuple[float, float]]]

WIDTH, HEIGHT = 420, 300
LEFT, TOP = 70, 40
COLOURS = ("#0b6e4f", "#c1440e", "#3a506b", "#7a3b69", "#b8860b")


def draw(panels: Sequence[tuple[str, str, Curves]]) -> str:
    """`panels` are (title, unit, curves by name); a curve is a list of (operations, value)."""
    total = len(panels) * (WIDTH + LEFT + 30)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {HEIGHT + 110}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{total}" height="{HEIGHT + 110}" fill="white"/>',
    ]
    for number, (title, unit, curves) in enumerate(panels):
        parts.append(f'<g transform="translate({number * (WIDTH + LEFT + 30) + LEFT},{TOP})">')
        parts += _panel(title, unit, curves)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, unit: str, curves: Curves) -> list[str]:
    points = [point for curve in curves.values() for point in curve]
    x_low, x_high = _decades([x for x, _ in points])
    y_low, y_high = _decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x_low) / (x_high - x_low)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return round(across * WIDTH, 1), round(HEIGHT - up * HEIGHT, 1)

    parts = [f'<text x="0" y="-16" font-size="15">{escape(title)}</text>']
    for power in range(y_low, y_high + 1):
        _, y = place(10**x_low, 10**power)
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="-8" y="{y + 4}" text-anchor="end">{10**power:g} {escape(unit)}</text>')
    for power in range(x_low, x_high + 1):
        x, _ = place(10**power, 10**y_low)
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT + 18}" text-anchor="middle">{10**power:,}</text>')
    for (name, curve), colour, row in zip(curves.items(), COLOURS, range(len(curves)), strict=False):
        path = " ".join(f"{x},{y}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in (place(*p) for p in curve)]
        parts.append(f'<text x="8" y="{16 + 16 * row}" fill="{colour}">{escape(name)}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT + 40}" text-anchor="middle">operations</text>')
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)
