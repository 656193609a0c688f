"""AP of many scorings of the same detections, each equal to what ``oks`` or ``boxes`` would find.

A grid search changes scores, and which detections there are, far more often than where they lie. Here
every detection meets every garment of its image and category once; the scorings go through COCO's
matching (``matching``) together, as if each were another set of images. Only AP of all areas is made.
"""

from collections.abc import Callable

import numpy as np

from fashion_ops.evaluation.matching import RECALLS, THRESHOLDS, match, precision_recall
from fashion_ops.evaluation.oks import (
    MAX_DETECTIONS,
    Detections,
    GroundTruth,
    image_groups,
    pairwise_oks,
)
from fashion_ops.taxonomy import CATEGORIES, category, sigmas

MAX_BOXES = 100  # of COCO's detection protocol, an image and category
_LANDMARKS = max(c.num_landmarks for c in CATEGORIES)

# Garments (N, G) and rows of detections (N, D) of one category to (N, D, G).
Compare = Callable[[np.ndarray, np.ndarray], np.ndarray]


def landmark_aps(truth: GroundTruth, found: Detections, scores: np.ndarray) -> np.ndarray:
    """Landmark AP of V scorings, (V,); -1 where there is no ground truth.

    Args:
        truth: garments of some images.
        found: all detections that any scoring has; their own ``score`` is not looked at.
        scores: (V, N), negative where a scoring does not have the detection.
    """
    variances = (2 * sigmas()) ** 2

    def compare(garments: np.ndarray, rows: np.ndarray) -> np.ndarray:
        slots = category(int(truth.category[garments[0, 0]])).slots
        return pairwise_oks(truth, found, garments, rows, slots, variances)

    return _average_precisions(truth, truth.ignored, found, scores, compare, MAX_DETECTIONS)


def box_aps(truth: GroundTruth, found: Detections, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Box AP of V scorings of detections with these boxes (N, 4), corners; else as ``landmark_aps``."""

    def compare(garments: np.ndarray, rows: np.ndarray) -> np.ndarray:
        own, other = boxes[rows].astype(float)[:, :, None], truth.boxes[garments][:, None]
        low = np.maximum(own[..., :2], other[..., :2])
        high = np.minimum(own[..., 2:], other[..., :2] + other[..., 2:])
        shared = (high - low).clip(0).prod(-1)
        whole = (own[..., 2:] - own[..., :2]).prod(-1) + other[..., 2:].prod(-1) - shared
        return shared / np.maximum(whole, np.finfo(float).tiny)

    none = np.zeros_like(truth.ignored)
    return _average_precisions(truth, none, found, scores, compare, MAX_BOXES)


def _average_precisions(
    truth: GroundTruth,
    ignored: np.ndarray,
    found: Detections,
    scores: np.ndarray,
    compare: Compare,
    max_detections: int,
) -> np.ndarray:
    precision = -np.ones((len(scores), len(truth.category_ids), len(THRESHOLDS), len(RECALLS)))
    for k, category_id in enumerate(truth.category_ids):
        garments = np.flatnonzero(truth.category == category_id)
        garments = garments[np.argsort(truth.image[garments], kind="stable")]
        rows = np.flatnonzero(found.category == category_id)
        rows = rows[np.argsort(found.image[rows], kind="stable")]
        own = _best(
            np.where(scores[:, rows] < 0, -np.inf, scores[:, rows]), found.image[rows], max_detections
        )
        hit = np.zeros((len(scores), len(THRESHOLDS), len(rows)), bool)
        skip = hit.copy()
        for d, g in image_groups(found.image[rows], truth.image[garments], _LANDMARKS):
            alike = compare(garments[g], rows[d])
            _judge(own, d, alike, ignored[garments[g]], truth.crowd[garments[g]], hit, skip)
        total = int((~ignored[garments]).sum())
        for v, values in enumerate(own):
            there = values > -np.inf
            precision[v, k] = precision_recall(
                values[there], hit[v][:, there], skip[v][:, there], total
            )[0]
    out = np.full(len(scores), -1.0)
    for v, values in enumerate(precision):
        judged = values[values > -1]
        out[v] = judged.mean() if len(judged) else -1.0
    return out


def _best(scores: np.ndarray, image: np.ndarray, most: int) -> np.ndarray:
    """Scores (V, R) of rows that lie together by image; -inf beyond the best of each image."""
    _, start, count = np.unique(image, return_index=True, return_counts=True)
    out = scores.copy()
    for first, number in zip(start[count > most], count[count > most], strict=True):
        mine = out[:, first : first + number]
        worse = np.argsort(-mine, axis=1, kind="stable")[:, most:]
        np.put_along_axis(mine, worse, -np.inf, 1)
    return out


def _judge(
    scores: np.ndarray,
    d: np.ndarray,
    alike: np.ndarray,
    ignored: np.ndarray,
    crowd: np.ndarray,
    hit: np.ndarray,
    skip: np.ndarray,
) -> None:
    """Match N images' detections (N, D), -1 pads, in all V scorings; fill in ``hit`` and ``skip``."""
    values = np.where(d >= 0, scores[:, d], -np.inf)  # (V, N, D)
    order = np.argsort(-values, axis=-1, kind="stable")
    order = order[..., : int((values > -np.inf).sum(-1).max(initial=0))]
    there = np.take_along_axis(values, order, -1) > -np.inf
    ranked = np.take_along_axis(alike[None], order[..., None], 2)
    ranked = np.where(there[..., None], ranked, -1.0)
    v, n, depth, size = ranked.shape

    def many(x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(x, (v, n, size)).reshape(v * n, size)

    choice = match(ranked.reshape(v * n, depth, size), many(ignored)[None], many(crowd))[0]
    choice = choice.reshape(len(THRESHOLDS), v, n, depth)
    neutral = ignored[np.arange(n)[:, None], choice.clip(0)]  # (T, V, N, D)
    at = np.take_along_axis(np.broadcast_to(d, (v, *d.shape)), order, -1)
    which, image, rank = np.nonzero(there)
    target = at[which, image, rank]
    taken = (choice >= 0)[:, which, image, rank]
    hit[which, :, target] = taken.T
    skip[which, :, target] = (taken & neutral[:, which, image, rank]).T
