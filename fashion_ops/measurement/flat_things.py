"""A bare sheet of paper, or a card of the format of bank cards, as the reference in a photo.

Both are found as rectangles (``quads``). That a rectangle is one is told from its sides, which a plane
that the camera sees at an angle must make perpendicular, and of the right proportion (Zhang and He,
Whiteboard scanning and image enhancement, Digital Signal Processing 17, 2007).

Paper is white: bright, hardly coloured, of one brightness, and brighter than what lies around it. A
card may have any colour. Nothing tells A4 from another sheet of its proportion (A3, A5), or a card from
another thing of its own; so a photo must show the real one.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fashion_ops.measurement.quads import Quad, find_quads
from fashion_ops.measurement.scale import Lens, Reference
from fashion_ops.measurement.sheet import FORMATS, Paper

CARD = (85.60, 53.98)  # mm: ID-1 of ISO/IEC 7810
_CARD_THICKNESS = 0.76  # mm
_PAPER_STD, _CARD_STD = 0.001, 0.0007  # of the true size, a fraction
_MOST_OFF, _MOST_SKEW = 0.045, 0.09  # of the proportion (its logarithm), of the cosine of the corners
_LEAST_STEP = 24.0  # sum of RGB levels by which paper is brighter than what lies around it
_WHITE, _COLOUR, _EVEN = (
    110,
    0.3,
    30,
)  # least brightness; most saturation; grey levels around the median
_EVEN_SHARE = 0.85


@dataclass(frozen=True)
class _Match:
    """A quad that has the proportion of a thing: how well, and its corners in the thing's order."""

    quad: Quad
    off: float
    reference: Reference


def find_paper(
    image: UInt8[np.ndarray, "h w 3"], lens: Lens, paper: Paper | None = None
) -> Reference | None:
    """A bare white sheet in an RGB photo, the largest; None where none is seen.

    Args:
        image: the photo.
        lens: of the camera.
        paper: which one it is; None takes the one whose proportion is nearer.
    """
    known = {name: (form.width, form.height) for name, form in FORMATS.items() if paper in (None, name)}
    for quad in find_quads(image):
        if quad.contrast.sum() < _LEAST_STEP or not _is_white(image, quad.corners):
            continue
        matches = [
            match
            for name, size in known.items()
            if (match := _match(quad, lens, f"{name} paper", size, 0.1, _PAPER_STD)) is not None
        ]
        if matches:
            return min(matches, key=lambda match: match.off).reference
    return None


def find_card(image: UInt8[np.ndarray, "h w 3"], lens: Lens) -> Reference | None:
    """A card of 85.60 x 53.98 mm in an RGB photo, the one of the best proportion; None without one."""
    matches = [
        match
        for quad in find_quads(image)
        if (match := _match(quad, lens, "card", CARD, _CARD_THICKNESS, _CARD_STD)) is not None
    ]
    return min(matches, key=lambda match: match.off).reference if matches else None


def _match(
    quad: Quad,
    lens: Lens,
    name: str,
    size: tuple[float, float],
    thickness: float,
    size_std: float,
) -> _Match | None:
    """Compare a quad with a thing of this size, mm; None where it is no rectangle of its proportion."""
    short, long = sorted(size)
    corners = lens.straighten(quad.corners)
    lengths = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    first = 0 if lengths[0] + lengths[2] >= lengths[1] + lengths[3] else 1
    best = None
    for turn in (first, 1 - first):  # seen at an angle, the longer side may look shorter
        ordered = np.roll(corners, -turn, 0)
        ratio, skew = _proportion(ordered, lens)
        off = abs(np.log(ratio / (long / short)))
        if off <= _MOST_OFF and skew <= _MOST_SKEW and (best is None or off < best.off):
            mm = np.array([(0, 0), (long, 0), (long, short), (0, short)], float)
            seen = np.roll(quad.corners, -turn, 0)
            found = Reference(name, seen, mm, thickness, size_std, quad.std, seen)
            best = _Match(quad, float(off), found)
    return best


def _proportion(corners: Float[np.ndarray, "4 2"], lens: Lens) -> tuple[float, float]:
    """First side over second side of a rectangle seen by a camera, and the cosine between them."""
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    to_pixels = cv2.getPerspectiveTransform(unit, corners.astype(np.float32))
    first, second = (np.linalg.inv(lens.matrix) @ to_pixels)[:, :2].T
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    return float(lengths[0] / lengths[1]), float(abs(first @ second) / (lengths[0] * lengths[1]))


def _is_white(image: UInt8[np.ndarray, "h w 3"], corners: Float[np.ndarray, "4 2"]) -> bool:
    """Whether the inside of a quad is bright, hardly coloured and even."""
    inner = corners.mean(0) + 0.9 * (corners - corners.mean(0))
    low = np.maximum(np.floor(inner.min(0)).astype(int), 0)
    high = np.ceil(inner.max(0)).astype(int) + 1
    part = image[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(part.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.round(inner - low).astype(np.int32), 1)
    pixels = part[mask > 0].astype(float)
    if len(pixels) < 50:
        return False
    median = np.median(pixels, 0)
    even = (np.abs(pixels.mean(1) - median.mean()) <= _EVEN).mean()
    saturation = (median.max() - median.min()) / max(median.max(), 1)
    return bool(median.mean() >= _WHITE and saturation <= _COLOUR and even >= _EVEN_SHARE)
