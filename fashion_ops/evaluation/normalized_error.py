"""NE and PDL, the metrics of fashion alignment, for an explicit set of points and frame.

NE is the distance between predicted and true landmark divided by the side of the frame (DFA; eq. 5 of
GLE prints a division by height times width, the published code divides x by the width and y by the
height). PDL is the percentage of landmarks within a number of pixels of a 224-pixel frame. Published
numbers differ in the points that they count: visible ones (the published code), or visible and
occluded ones.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

PointChoice = Literal["visible", "observed"]  # observed: visible and occluded
FrameName = Literal["letterbox", "box"]
SIDE = 224.0
THRESHOLDS = tuple(range(5, 51, 5))  # pixels, DFA Fig. 5
POINT_TEXTS = {"visible": "visible", "observed": "visible + occluded"}
FRAME_TEXTS = {
    "letterbox": "box letterboxed in a square: distance over its longer side",
    "box": "box stretched to a square: x over its width, y over its height",
}


@dataclass(frozen=True)
class Score:
    """A metric for each of n landmarks and over all; NaN where no point counts.

    Attributes:
        per_point: (n,) mean of each landmark.
        counts: (n,) points that each mean is over.
        macro: mean of ``per_point``.
        micro: mean over all counted points.
    """

    per_point: np.ndarray
    counts: np.ndarray
    macro: float
    micro: float


def errors(
    predicted: np.ndarray, truth: np.ndarray, boxes: np.ndarray, frame: FrameName = "letterbox"
) -> np.ndarray:
    """Normalised error of each landmark, (N, n).

    Args:
        predicted: (N, n, 2), pixels of the image.
        truth: (N, n, 2), pixels of the image.
        boxes: (N, 4) x1, y1, x2, y2, from which the frame is made.
        frame: ``letterbox`` or ``box``, as in ``methods.parts.frames``.
    """
    size = np.asarray(boxes, np.float64)[:, 2:] - np.asarray(boxes, np.float64)[:, :2]
    if frame == "letterbox":
        size = np.repeat(size.max(axis=1, keepdims=True), 2, axis=1)
    return np.linalg.norm((predicted - truth) / size[:, None], axis=-1)


def counted(visibility: np.ndarray, points: PointChoice) -> np.ndarray:
    """Mask of the landmarks that count; ``visibility`` is COCO's: 1 occluded, 2 visible."""
    return visibility == 2 if points == "visible" else visibility > 0


def ne(errors: np.ndarray, mask: np.ndarray) -> Score:
    """Mean normalised error; ``errors`` and ``mask`` are (N, n)."""
    return _means(errors, mask)


def pdl(errors: np.ndarray, mask: np.ndarray, pixels: float = 15.0) -> Score:
    """Percentage of detected landmarks: error at most ``pixels`` in a 224-pixel frame."""
    return _means(100.0 * (errors * SIDE <= pixels), mask)


def pdl_curve(
    errors: np.ndarray, mask: np.ndarray, thresholds: tuple[float, ...] = THRESHOLDS
) -> list[Score]:
    """PDL at each threshold in pixels (DFA Fig. 5)."""
    return [pdl(errors, mask, pixels) for pixels in thresholds]


def _means(values: np.ndarray, mask: np.ndarray) -> Score:
    counts = mask.sum(axis=0)
    totals = np.where(mask, values, 0.0).sum(axis=0)
    per_point = np.full(mask.shape[1], np.nan)
    np.divide(totals, counts, out=per_point, where=counts > 0)
    total = int(counts.sum())
    if not total:
        return Score(per_point, counts, float("nan"), float("nan"))
    return Score(per_point, counts, float(np.nanmean(per_point)), float(totals.sum() / total))
