"""COCO's greedy matching and its precision/recall bookkeeping, for many images at once.

The rules are those of pycocotools' ``evaluateImg`` and ``accumulate``, to the last bit: detections
choose in the order of their scores; a detection prefers ground truth that counts over ground truth
that is ignored, then the most similar, then the one listed last; a crowd may be chosen repeatedly.
The similarities (OKS, IoU) are given.

Letters in shapes: A area ranges, T thresholds, N images (groups), D detections, G garments.
"""

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)


def match(similarity: np.ndarray, ignored: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Match detections with garments in N groups (one image and category each) of the same size.

    Args:
        similarity: (N, D, G) float; detections by falling score; negative where there is none.
        ignored: (A, N, G) bool, ground truth that counts neither way in an area range.
        crowd: (N, G) bool, ground truth that may be matched more than once.

    Returns:
        (A, T, N, D) int: the index of the matched garment, -1 where none.
    """
    n, depth, garments = similarity.shape
    taken = np.zeros((len(ignored), len(THRESHOLDS), n, garments), bool)
    result = np.full((len(ignored), len(THRESHOLDS), n, depth), -1, np.int16)
    for d in range(depth):
        near = similarity[None, :, d] >= THRESHOLDS[:, None, None]  # (T, N, G)
        free = near[None] & (~taken | crowd)
        if not free.any():
            continue
        if garments == 1:
            result[..., d] = np.where(free[..., 0], 0, -1)
            taken |= free
            continue
        choice = np.where(free, _preference(similarity[:, d], ignored)[:, None], -1).argmax(-1)
        matched = free.any(-1)
        result[..., d] = np.where(matched, choice, -1)
        area, threshold, group = np.nonzero(matched)
        taken[area, threshold, group, choice[matched]] = True
    return result


def _preference(similarity: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Rank of each garment for a detection, higher is better: (N, G), (A, N, G) -> (A, N, G)."""
    area, n, garments = ignored.shape
    place = np.broadcast_to(np.arange(garments), ignored.shape)
    order = np.lexsort((place, np.broadcast_to(similarity, ignored.shape), ~ignored))
    rank = np.empty((area, n, garments), np.int16)
    np.put_along_axis(rank, order, place.astype(np.int16), -1)
    return rank


def precision_recall(
    scores: np.ndarray, hit: np.ndarray, ignored: np.ndarray, num_garments: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated precision at the 101 recalls, and the final recall.

    Args:
        scores: (D,) in the order of pycocotools: images by id, then falling scores.
        hit: (T, D) bool, the detection matched a garment.
        ignored: (T, D) bool, the detection counts neither way.
        num_garments: ground truth that counts.

    Returns:
        (T, 101) and (T,); all -1 when there is nothing to find.
    """
    num_thresholds = len(hit)
    if num_garments == 0:
        return np.full((num_thresholds, len(RECALLS)), -1.0), np.full(num_thresholds, -1.0)
    if len(scores) == 0:
        return np.zeros((num_thresholds, len(RECALLS))), np.zeros(num_thresholds)
    order = np.argsort(-scores, kind="stable")
    hit, ignored = hit[:, order], ignored[:, order]
    true = np.cumsum(hit & ~ignored, axis=1, dtype=float)
    false = np.cumsum(~hit & ~ignored, axis=1, dtype=float)
    recall = true / num_garments
    precision = true / (false + true + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    out = np.zeros((num_thresholds, len(RECALLS)))
    for t in range(num_thresholds):
        at = np.searchsorted(recall[t], RECALLS, side="left")
        reached = at < len(scores)
        out[t, reached] = envelope[t, at[reached]]
    return out, recall[:, -1]
