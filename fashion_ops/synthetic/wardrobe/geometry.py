"""Curves in the plane: smoothing, resampling, and limbs as a centre line with a width.

Points are float arrays (k, 2). An image has some hundred of these curves, each of few points, so what
costs time here is the number of calls of NumPy.
"""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=256)
def _even(start: float, stop: float, count: int) -> np.ndarray:
    """``count`` even steps, read only."""
    out = np.linspace(start, stop, count)
    out.flags.writeable = False
    return out


@lru_cache(maxsize=16)
def _powers(per_span: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fractions of a span, (1, per_span, 1), their squares and cubes."""
    t = (np.arange(per_span) / per_span)[None, :, None]
    return t, t**2, t**3


def xy(x: float, y: float) -> np.ndarray:
    """A vector in the plane, (2,)."""
    return np.array([x, y], float)


def curve(points: np.ndarray | list, per_span: int = 6) -> np.ndarray:
    """The Catmull-Rom curve through ``points`` (k, 2), as ((k - 1) * per_span + 1, 2) points."""
    p = np.asarray(points, float)
    if len(p) == 2:
        t = np.linspace(0, 1, per_span + 1)[:, None]
        return p[0] + (p[1] - p[0]) * t
    q = np.empty((len(p) + 2, 2))
    q[0], q[1:-1], q[-1] = 2 * p[0] - p[1], p, 2 * p[-1] - p[-2]
    t, t2, t3 = _powers(per_span)
    a, b, c, d = q[:-3, None], q[1:-2, None], q[2:-1, None], q[3:, None]
    spans = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t2 + (3 * b - a - 3 * c + d) * t3
    )
    out = np.empty(((len(p) - 1) * per_span + 1, 2))
    out[:-1], out[-1] = spans.reshape(-1, 2), p[-1]
    return out


def along(line: np.ndarray, fractions: float | np.ndarray | list) -> np.ndarray:
    """Points at these fractions (0..1) of a polyline's length; a scalar gives (2,), k give (k, 2)."""
    steps = line[1:] - line[:-1]
    where = np.zeros(len(line))
    np.cumsum(np.hypot(steps[:, 0], steps[:, 1]), out=where[1:])
    at = np.asarray(fractions) * where[-1]
    out = np.empty((*at.shape, 2))
    out[..., 0], out[..., 1] = np.interp(at, where, line[:, 0]), np.interp(at, where, line[:, 1])
    return out


def cut(line: np.ndarray, start: float, stop: float, count: int = 12) -> np.ndarray:
    """The piece of a polyline between two fractions of its length, as ``count`` points."""
    return along(line, _even(start, stop, count))


def at_height(contour: np.ndarray, y: float) -> np.ndarray:
    """The point (2,) of a contour (k, 2) at height ``y``; the contour goes down everywhere."""
    return np.array([np.interp(y, contour[:, 1], contour[:, 0]), y])


def normals(line: np.ndarray) -> np.ndarray:
    """Unit normals (k, 2) of a polyline; a line going down (y grows) has normal (1, 0)."""
    d = np.empty(line.shape)
    d[0], d[1:-1], d[-1] = line[1] - line[0], (line[2:] - line[:-2]) / 2, line[-1] - line[-2]
    d /= np.maximum(np.hypot(d[:, 0], d[:, 1]), 1e-9)[:, None]
    out = np.empty(line.shape)
    out[:, 0], out[:, 1] = d[:, 1], -d[:, 0]
    return out


def limb(
    line: np.ndarray,
    widths: tuple[float, ...],
    side: float,
    outer_start: np.ndarray | None = None,
    inner_start: np.ndarray | None = None,
    blend: float = 0.35,
) -> tuple[np.ndarray, np.ndarray]:
    """Both contours of a limb around a centre line.

    Args:
        line: centre line (k, 2) from the root outwards.
        widths: half widths at even steps from root to end.
        side: -1 or +1, the image side on which "outer" lies while the limb hangs down.
        outer_start: where the outer contour starts (a shoulder); None: beside the root.
        inner_start: where the inner contour starts (an armpit); None: beside the root.
        blend: share of the limb over which a given start fades into the width.

    Returns:
        Outer and inner contour, each (k, 2), from the root outwards.
    """
    t = _even(0, 1, len(line))
    w = np.interp(t, _even(0, 1, len(widths)), widths)[:, None]
    n = side * normals(line)
    outer, inner = line + n * w, line - n * w
    fade = np.clip(1 - t / blend, 0, 1)
    fade = (fade * fade * (3 - 2 * fade))[:, None]
    if outer_start is not None:
        outer = outer + (outer_start - outer[0]) * fade
    if inner_start is not None:
        inner = inner + (inner_start - inner[0]) * fade
    return outer, inner


def ellipse(
    center: np.ndarray | tuple, rx: float, ry: float, angle: float = 0, n: int = 28
) -> np.ndarray:
    """An ellipse as a polygon (n, 2); ``angle`` in radians, clockwise in the image."""
    across, down = _circle(n)
    x, y = rx * across, ry * down
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * x - s * y, s * x + c * y], axis=1) + np.asarray(center)


@lru_cache(maxsize=16)
def _circle(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions x and y of ``n`` even points of the unit circle."""
    u = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.cos(u), np.sin(u)
