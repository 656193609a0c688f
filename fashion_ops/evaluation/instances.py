"""Ground truth and detections as arrays, the input of ``oks``.

A model predicts the landmarks of its category, the official protocol compares all 294 slots. The
other slots hold the centre of the box, here and in every export. With zeros there, correct predictions
for garments without labels would become false positives, and the area of a detection would stretch
to the corner of the image.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

_CHUNK = 4096  # detections per block where all slots are read


@dataclass(frozen=True)
class GroundTruth:
    """Labelled garments of all images, one row per garment (G rows).

    Attributes:
        image_ids: ids of the images to evaluate, also those without a garment.
        category_ids: ids of the categories to evaluate, also those without a garment.
        ids: (G,) annotation ids from 1. pycocotools takes a match with id 0 for no match; so do we.
        image: (G,) image id.
        category: (G,) category id.
        boxes: (G, 4) x, y, width, height in pixels.
        area: (G,) pixels^2.
        crowd: (G,) bool, COCO's ``iscrowd``.
        ignored: (G,) bool, counts neither as found nor as missed.
        keypoints: (G, 294, 3) x, y, visibility in pixels.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    ids: np.ndarray
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    keypoints: np.ndarray


class PredictedPoints(Protocol):
    """Predicted x, y of N detections, read by slot: ``SubmittedPoints`` or ``CategoryPoints``."""

    def take(self, rows: np.ndarray, slots: slice) -> np.ndarray:
        """x, y of some slots of some detections (all of one category), float64 (n, slots, 2)."""
        ...


@dataclass(frozen=True)
class Detections:
    """Predictions, N rows in the order of submission, which decides between equal scores.

    ``image``, ``category`` and ``score`` are (N,); ``area`` (N,) is that of the rectangle around all
    294 submitted points, pixels^2.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    area: np.ndarray
    points: PredictedPoints


@dataclass(frozen=True)
class SubmittedPoints:
    """All slots as submitted: ``keypoints`` (N, slots, 3) of any float type; only x, y are read."""

    keypoints: np.ndarray

    def take(self, rows: np.ndarray, slots: slice) -> np.ndarray:
        """x, y of some slots of some detections, float64 (n, slots, 2)."""
        return self.keypoints[rows, slots, :2].astype(float)

    def area(self) -> np.ndarray:
        """Area of the rectangle around all slots, (N,), in the array's precision like ``loadRes``."""
        out = np.empty(len(self.keypoints), self.keypoints.dtype)
        for i in range(0, len(out), _CHUNK):
            x, y = (np.ascontiguousarray(self.keypoints[i : i + _CHUNK, :, k]) for k in (0, 1))
            out[i : i + _CHUNK] = (x.max(1) - x.min(1)) * (y.max(1) - y.min(1))
        return out.astype(float)


@dataclass(frozen=True)
class CategoryPoints:
    """The landmarks of each detection's category, and the box centre in all other slots.

    ``landmarks`` (N, longest, 2) holds x, y, padded at the end. They stand in the ``count`` (N,) slots
    from ``first`` (N,) on; ``center`` (N, 2) is the box centre.
    """

    landmarks: np.ndarray
    first: np.ndarray
    count: np.ndarray
    center: np.ndarray

    def take(self, rows: np.ndarray, slots: slice) -> np.ndarray:
        """x, y of some slots of some detections of one category, float64 (n, slots, 2)."""
        out = np.repeat(self.center[rows, None].astype(float), slots.stop - slots.start, 1)
        if len(rows):
            first = int(self.first[rows[0]])
            low, high = max(slots.start, first), min(slots.stop, first + int(self.count[rows[0]]))
            if low < high:
                out[:, low - slots.start : high - slots.start] = self.landmarks[
                    rows, low - first : high - first
                ]
        return out

    def area(self) -> np.ndarray:
        """Area of the rectangle around all slots, (N,)."""
        padding = np.arange(self.landmarks.shape[1]) >= self.count[:, None]
        points = np.where(padding[..., None], self.center[:, None], self.landmarks)
        low = np.minimum(points.min(1), self.center)
        high = np.maximum(points.max(1), self.center)
        return (high - low).prod(1)
