"""Where the x, y of detections come from: submitted arrays of all slots, or a category's own only.

A model predicts its category's landmarks; the official protocol wants all 294. The other slots hold
the centre of the box here and in every export. Zeros there would turn correct predictions for
garments without labels into false positives and stretch the area to the image's corner.
"""

from dataclasses import dataclass

import numpy as np

_ROWS = 4096  # detections handled at once where all slots are read


@dataclass(frozen=True)
class SubmittedPoints:
    """All slots as submitted: ``keypoints`` (N, slots, 3), any float type, x, y, anything."""

    keypoints: np.ndarray

    def take(self, rows: np.ndarray, slots: slice) -> np.ndarray:
        """x, y of some slots of some detections, float64 (n, slots, 2)."""
        return self.keypoints[rows, slots, :2].astype(float)

    def area(self) -> np.ndarray:
        """Area of the rectangle around all slots, (N,), in the array's own precision like loadRes."""
        out = np.empty(len(self.keypoints), self.keypoints.dtype)
        for i in range(0, len(out), _ROWS):
            x, y = (np.ascontiguousarray(self.keypoints[i : i + _ROWS, :, k]) for k in (0, 1))
            out[i : i + _ROWS] = (x.max(1) - x.min(1)) * (y.max(1) - y.min(1))
        return out.astype(float)


@dataclass(frozen=True)
class OwnPoints:
    """A category's own landmarks, the box centre everywhere else.

    ``own`` (N, longest, 2) holds x, y, padded at the end; ``first`` and ``count`` (N,) say which slots
    they stand in; ``center`` (N, 2).
    """

    own: np.ndarray
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
                out[:, low - slots.start : high - slots.start] = self.own[
                    rows, low - first : high - first
                ]
        return out

    def area(self) -> np.ndarray:
        """Area of the rectangle around all slots, (N,)."""
        padding = np.arange(self.own.shape[1]) >= self.count[:, None]
        points = np.where(padding[..., None], self.center[:, None], self.own)
        low = np.minimum(points.min(1), self.center)
        high = np.maximum(points.max(1), self.center)
        return (high - low).prod(1)
