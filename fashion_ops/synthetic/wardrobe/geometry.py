"""Curves in the plane: smoothing, resampling, and limbs as a centre line with a width.

Points are float arrays (k, 2).
"""

import numpy as np


def xy(x: float, y: float) -> np.ndarray:
    """A vector in the plane, (2,)."""
    return np.array([x, y], float)


def curve(points: np.ndarray | list, per_span: int = 6) -> np.ndarray:
    """The Catmull-Rom curve through ``points`` (k, 2), as ((k - 1) * per_span + 1, 2) points."""
    p = np.asarray(points, float)
    if len(p) == 2:
        t = np.linspace(0, 1, per_span + 1)[:, None]
        return p[0] + (p[1] - p[0]) * t
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = (np.arange(per_span) / per_span)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    spans = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return np.vstack([spans.reshape(-1, 2), p[-2:-1]])


def along(line: np.ndarray, fractions: float | np.ndarray | list) -> np.ndarray:
    """Points at these fractions (0..1) of a polyline's length; a scalar gives (2,), k give (k, 2)."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    where = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.asarray(fractions) * where[-1]
    return np.stack([np.interp(at, where, line[:, 0]), np.interp(at, where, line[:, 1])], axis=-1)


def cut(line: np.ndarray, start: float, stop: float, count: int = 12) -> np.ndarray:
    """The piece of a polyline between two fractions of its length, as ``count`` points."""
    return along(line, np.linspace(start, stop, count))


def at_height(contour: np.ndarray, y: float) -> np.ndarray:
    """The point (2,) of a contour (k, 2) at height ``y``; the contour goes down everywhere."""
    return np.array([np.interp(y, contour[:, 1], contour[:, 0]), y])


def normals(line: np.ndarray) -> np.ndarray:
    """Unit normals (k, 2) of a polyline; a line going down (y grows) has normal (1, 0)."""
    d = np.gradient(line, axis=0)
    d /= np.maximum(np.hypot(d[:, 0], d[:, 1]), 1e-9)[:, None]
    return np.stack([d[:, 1], -d[:, 0]], axis=1)


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
    t = np.linspace(0, 1, len(line))
    w = np.interp(t, np.linspace(0, 1, len(widths)), widths)[:, None]
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
    u = np.linspace(0, 2 * np.pi, n, endpoint=False)
    x, y = rx * np.cos(u), ry * np.sin(u)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * x - s * y, s * x + c * y], axis=1) + np.asarray(center)
