"""The few points of a result that are compared with garments.

OKS reads the labelled slots of a result's category, from the first to the last that any garment of the
category has, and all 294 where a garment of the category has no label in the same image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fashion_ops.evaluation.instances import GroundTruth
from fashion_ops.taxonomy import NUM_LANDMARKS

_NONE = slice(0, 0)


@dataclass(frozen=True)
class Needed:
    """Which points of results are compared with the garments of a ground truth.

    ``slots`` maps category ids to slots. ``whole`` has the (image id, category id) of garments without
    a label.
    """

    slots: dict[int, slice]
    whole: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, truth: GroundTruth) -> "Needed":
        labelled = truth.keypoints[..., 2] > 0
        slots = {}
        for category in np.unique(truth.category).tolist():
            used = np.flatnonzero(labelled[truth.category == category].any(0))
            slots[category] = slice(int(used[0]), int(used[-1]) + 1) if len(used) else _NONE
        none = ~labelled.any(1)
        pairs = zip(truth.image[none].tolist(), truth.category[none].tolist(), strict=True)
        return cls(slots, frozenset(pairs))

    def of_results(
        self, image: np.ndarray, category: np.ndarray, keypoints: np.ndarray
    ) -> tuple[dict[int, np.ndarray], np.ndarray]:
        """The needed points of n results: image (n,), category (n,), keypoints (n, 294, 3).

        Returns:
            Category id -> (results of the category, slots, 2) x, y; and (m, 294, 2) of those whose
            slots are all needed. Both in the order of the results.
        """
        points = {}
        for c in np.unique(category).tolist():
            slots = self.slots.get(c, _NONE)
            points[c] = keypoints[np.flatnonzero(category == c), slots, :2]
        return points, keypoints[self.is_whole(image, category), :, :2]

    def is_whole(self, image: np.ndarray, category: np.ndarray) -> np.ndarray:
        """Whether all slots of a result are needed: (n,), (n,) -> (n,) bool."""
        if not self.whole:
            return np.zeros(len(image), bool)
        pairs = zip(image.tolist(), category.tolist(), strict=True)
        return np.fromiter((pair in self.whole for pair in pairs), bool, len(image))


@dataclass(frozen=True)
class KeptPoints:
    """The needed points of N results, as ``PredictedPoints``.

    Attributes:
        category: (N,) category id of each result.
        row: (N,) its row in the points of its category.
        points: category id -> (n, slots, 2) x, y of its results.
        first: category id -> first slot of these.
        whole_row: (N,) its row in ``whole``; that of any other where its slots are not all needed.
        whole: (m, 294, 2) x, y of all slots.
    """

    category: np.ndarray
    row: np.ndarray
    points: dict[int, np.ndarray]
    first: dict[int, int]
    whole_row: np.ndarray
    whole: np.ndarray

    @classmethod
    def joined(
        cls,
        needed: Needed,
        image: np.ndarray,
        category: np.ndarray,
        parts: Sequence[tuple[dict[int, np.ndarray], np.ndarray]],
    ) -> "KeptPoints":
        """Join what ``Needed.of_results`` gave for consecutive parts of the results (N,)."""
        row, points = np.zeros(len(category), np.int64), {}
        for c in np.unique(category).tolist():
            at = np.flatnonzero(category == c)
            row[at] = np.arange(len(at))
            points[c] = np.concatenate([kept[c] for kept, _ in parts if c in kept])
        is_whole = needed.is_whole(image, category)
        first = {c: needed.slots.get(c, _NONE).start for c in points}
        whole = np.concatenate([np.zeros((0, NUM_LANDMARKS, 2)), *(whole for _, whole in parts)])
        whole_row = np.where(is_whole, is_whole.cumsum() - 1, 0)
        return cls(category, row, points, first, whole_row, whole)

    def take(self, rows: np.ndarray, slots: slice) -> np.ndarray:
        """x, y of some slots of some results of one category, float64 (n, slots, 2)."""
        if not len(rows):
            return np.zeros((0, slots.stop - slots.start, 2))
        category = int(self.category[rows[0]])
        kept, first = self.points[category], self.first[category]
        if first <= slots.start and slots.stop <= first + kept.shape[1]:
            return kept[self.row[rows], slots.start - first : slots.stop - first]
        return self.whole[self.whole_row[rows], slots]
