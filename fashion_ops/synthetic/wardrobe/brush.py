"""Filling a mask of the canvas: cloth laid out along a part, marks, and shading.

Shades are uint8 images in which ``UNIT`` leaves a colour as it is.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe.fabric import Color
from fashion_ops.synthetic.wardrobe.garment import Mark, Tone

UNIT = 200
_SHIFT = 4  # fractional bits of coordinates handed to OpenCV
_LIMIT = 1 << 24
ToPixels = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
_SHARES = (np.arange(256, dtype=np.float32) / 255)[None]


def fixed(points: np.ndarray) -> np.ndarray:
    """Points (k, 2) as OpenCV's fixed-point integers, int32 (k, 1, 2)."""
    out = np.rint(points * (1 << _SHIFT))
    np.minimum(np.maximum(out, -_LIMIT, out=out), _LIMIT, out=out)  # np.clip costs twice as much
    return out.astype(np.int32)[:, None]


def fill(target: np.ndarray, points: np.ndarray, lengths: Sequence[int]) -> None:
    """Fill the union of polygons in a mask with 255.

    Args:
        target: uint8 (h, w), changed in place.
        points: corners of all polygons, one polygon after the other, (k, 2) in pixels.
        lengths: numbers of corners.
    """
    corners, start = fixed(points), 0
    for length in lengths:
        stop = start + length
        cv2.fillPoly(target, [corners[start:stop]], (255,), cv2.LINE_8, _SHIFT)
        start = stop


@lru_cache(maxsize=64)
def ramp(low: float, high: float) -> np.ndarray:
    """A lookup table from coverage 0..255 to a shade between ``low`` and ``high`` (1 is unshaded)."""
    return np.clip(np.linspace(low * UNIT, high * UNIT, 256), 0, 255).astype(np.uint8)


def shaded(source: np.ndarray, shade: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A BGR image multiplied by a shade; written to ``out`` if given."""
    return cv2.multiply(source, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), out, 1 / UNIT)


def plain(color: Color, shade: np.ndarray) -> np.ndarray:
    """One colour multiplied by a shade (h, w), BGR (h, w, 3), by a lookup table per channel."""
    return cv2.LUT(cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), _shades(color))


@lru_cache(maxsize=256)
def _shades(color: Color) -> np.ndarray:
    """A lookup table (1, 256, 3) from a shade to a colour."""
    levels = np.arange(256, dtype=np.float32)[:, None] / UNIT
    return np.clip(levels * np.array(color, np.float32), 0, 255).astype(np.uint8)[None]


def lay(tile: np.ndarray, to_tile: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Lay out a periodic tile over a region.

    Args:
        tile: two periods a side, so that most regions need no slow wrapping.
        to_tile: matrix (2, 3) from region pixels to tile pixels.
        shape: (h, w) of the region.
    """
    corners = np.array([[0, 0, 1], [shape[1], 0, 1], [0, shape[0], 1], [shape[1], shape[0], 1]])
    reach = corners @ to_tile.T
    low = reach.min(0)
    moved = to_tile.copy()
    period = tile.shape[0] // 2
    moved[:, 2] -= np.floor(low / period) * period
    span = (reach - low + low % period).max()
    border = cv2.BORDER_WRAP if span >= tile.shape[0] - 1 else cv2.BORDER_REPLICATE
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(tile, moved, (shape[1], shape[0]), flags=flags, borderMode=border)


def blend(source: np.ndarray, covered: np.ndarray, region: np.ndarray) -> None:
    """Paint ``source`` on ``region``, BGR (h, w, 3), in place, by its coverage (h, w), 0..255."""
    share = cv2.LUT(covered, _SHARES)
    cv2.blendLinear(source, region, share, 1 - share, region)


def draw_marks(
    target: np.ndarray,
    marks: Sequence[Mark],
    tone_of: Callable[[Tone], Color],
    to_pixels: ToPixels,
    scale: float,
) -> None:
    """Draw seams, buttons and prints.

    Args:
        target: uint8, BGR or one channel (which takes a colour's first value), changed in place.
        marks: in heads.
        tone_of: the colour of a tone.
        to_pixels: from several arrays of points (k, 2) in heads to pixels of ``target``.
        scale: pixels to a head.
    """
    for mark, placed in zip(marks, to_pixels([mark.points for mark in marks]), strict=True):
        tone = tone_of(mark.tone)
        points = fixed(placed)
        width = max(1, round(mark.width * scale))
        if mark.kind == "line":
            cv2.polylines(target, [points], False, tone, width, cv2.LINE_AA, _SHIFT)
        elif mark.kind == "fill":
            cv2.fillPoly(target, [points], tone, cv2.LINE_AA, _SHIFT)
        else:
            for x, y in points[:, 0]:
                cv2.circle(target, (int(x), int(y)), width << _SHIFT, tone, -1, cv2.LINE_AA, _SHIFT)
