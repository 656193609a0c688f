"""Charts of the report as inline SVG, coloured by its style sheet (classes ``m0``, ``m1``, ...).

No plotting library is used, so that charts follow the light and dark colours of the page, and the same
numbers give the same bytes.
"""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from fashion_ops.evaluation.calibration import Bin

_LABEL, _WIDTH, _ROW = 170, 860, 30


def dot_plot(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str]) -> Markup:
    """Draw one line per row with a dot per series, on an axis from 0 to 1.

    Args:
        rows: label and one value per series; negative and NaN values are left out.
        names: of the series, in the order of their colours.
    """
    bottom = 8 + _ROW * len(rows)
    parts = []
    for tick in np.linspace(0, 1, 6):
        x = _x(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}">{tick:.1f}</text>')
    for number, (label, values) in enumerate(rows):
        y = 8 + _ROW * (number + 0.5)
        parts.append(f'<text class="label" x="{_LABEL - 14}" y="{y + 4:.1f}">{escape(label)}</text>')
        known = [(k, v) for k, v in enumerate(values) if v >= 0]
        if not known:
            continue
        low, high = min(v for _, v in known), max(v for _, v in known)
        parts.append(f'<line class="span" x1="{_x(low):.1f}" x2="{_x(high):.1f}" y1="{y}" y2="{y}"/>')
        for k, value in known:
            title = f"{escape(label)}, {escape(names[k])}: {value:.3f}"
            place = f'class="m{k}" cx="{_x(value):.1f}" cy="{y}" r="6"'
            parts.append(f"<circle {place}><title>{title}</title></circle>")
    return _svg(_WIDTH, bottom + 24, "dots", "AP of each category by method", parts)


def curve(values: Sequence[float]) -> Markup:
    """Draw a small line of one value per epoch, scaled from the smallest to the largest value."""
    width, height, edge = 190, 56, 5
    low, high = min(values), max(values)
    scale = (height - 2 * edge) / (high - low) if high > low else 0.0
    step = (width - 2 * edge) / max(len(values) - 1, 1)
    points = [(edge + i * step, height - edge - (v - low) * scale) for i, v in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    parts = [f'<polyline points="{path}"/>', f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>']
    return _svg(width, height, "curve", f"from {values[0]:.3g} to {values[-1]:.3g}", parts)


def reliability_plot(before: Sequence[Bin], after: Sequence[Bin]) -> Markup:
    """Draw the share of near landmarks over their score, 0 to 1, and the line where they agree.

    Args:
        before: bins of the scores as predicted, in the first colour of the page.
        after: bins of the scores with a temperature, in the fourth; may be empty.
    """
    side, edge = 260, 34
    span = side - edge - 12

    def place(x: float, y: float) -> tuple[float, float]:
        return edge + x * span, 12 + (1 - y) * span

    parts = []
    for tick in (0.0, 0.5, 1.0):
        (x, bottom), (left, y) = place(tick, 0), place(0, tick)
        right, top = place(1, 1)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}">{tick:g}</text>')
        parts.append(f'<text class="tick" x="{left - 14:.1f}" y="{y + 4:.1f}">{tick:g}</text>')
    (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
    parts.append(f'<line class="even" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>')
    for color, bins in ((0, before), (3, after)):
        most = max((b.count for b in bins), default=1)
        for b in bins:
            x, y = place(b.predicted, b.measured)
            title = f"score {b.predicted:.2f}: {b.measured:.1%} of {b.count:,} landmarks are near"
            radius = 2.5 + 5 * (b.count / most) ** 0.5
            dot = f'class="m{color}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"'
            parts.append(f"<circle {dot}><title>{title}</title></circle>")
    return _svg(side, side, "plot", "share of near landmarks over their score", parts)


def _x(value: float) -> float:
    return _LABEL + value * (_WIDTH - _LABEL - 16)


def _svg(width: int, height: int, kind: str, title: str, parts: Sequence[str]) -> Markup:
    head = (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    )
    return Markup(head + "".join(parts) + "</svg>")
