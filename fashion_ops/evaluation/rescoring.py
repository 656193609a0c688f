"""AP of many scorings of the same detections, each equal to that of ``oks`` or ``boxes``.

A grid search changes the scores, and which detections there are, far more often than their places.
Here each detection is compared with the garments of its image and category once, and all scorings go
through COCO's matching (``matching``) together, as if each were another set of images. Only the AP
over all areas is computed.
"""

from collections.abc import Callable

import numpy as np

from fashion_ops.evaluation.instances import Detections, GroundTruth
from fashion_ops.evaluation.matching import RECALLS, THRESHOLDS, match, precision_recall
from fashion_ops.evaluation.oks import MAX_DETECTIONS, image_groups, pairwise_oks
from fashion_ops.taxonomy import CATEGORIES, category, sigmas

MAX_BOXES = 100  # per image and category, of COCO's detection protocol
_LANDMARKS = max(c.num_landmarks for c in CATEGORIES)

# Indices of garments (N, G) and detections (N, D) of one category -> similarities (N, D, G).
Similarity = Callable[[np.ndarray, np.ndarray], np.ndarray]


def landmark_aps(truth: GroundTruth, detections: Detections, scores: np.ndarray) -> np.ndarray:
    """Landmark AP of V scorings, (V,); -1 where there is no ground truth.

    Args:
        truth: garments of some images.
        detections: all detections that occur in any scoring; their ``score`` is not used.
        scores: (V, N) score of each detection, negative where a scoring lacks the detection.
    """
    variances = (2 * sigmas()) ** 2

    def similarity(garments: np.ndarray, rows: np.ndarray) -> np.ndarray:
        slots = category(int(truth.category[garments[0, 0]])).slots
        return pairwise_oks(truth, detections, garments, rows, slots, variances)

    return _average_precisions(truth, truth.ignored, detections, scores, similarity, MAX_DETECTIONS)


def box_aps(
    truth: GroundTruth, detections: Detections, boxes: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Box AP of V scorings, (V,), of detections with boxes (N, 4) x1, y1, x2, y2.

    The other arguments are those of ``landmark_aps``.
    """

    def similarity(garments: np.ndarray, rows: np.ndarray) -> np.ndarray:
        predicted, labelled = boxes[rows].astype(float)[:, :, None], truth.boxes[garments][:, None]
        low = np.maximum(predicted[..., :2], labelled[..., :2])
        high = np.minimum(predicted[..., 2:], labelled[..., :2] + labelled[..., 2:])
        shared = (high - low).clip(0).prod(-1)
        union = (predicted[..., 2:] - predicted[..., :2]).prod(-1) + labelled[..., 2:].prod(-1) - shared
        return shared / np.maximum(union, np.finfo(float).tiny)

    none = np.zeros_like(truth.ignored)
    return _average_precisions(truth, none, detections, scores, similarity, MAX_BOXES)


def _average_precisions(
    truth: GroundTruth,
    ignored: np.ndarray,
    detections: Detections,
    scores: np.ndarray,
    similarity: Similarity,
    max_detections: int,
) -> np.ndarray:
    precision = -np.ones((len(scores), len(truth.category_ids), len(THRESHOLDS), len(RECALLS)))
    for k, category_id in enumerate(truth.category_ids):
        garments = np.flatnonzero(truth.category == category_id)
        garments = garments[np.argsort(truth.image[garments], kind="stable")]
        rows = np.flatnonzero(detections.category == category_id)
        rows = rows[np.argsort(detections.image[rows], kind="stable")]
        present = np.where(scores[:, rows] < 0, -np.inf, scores[:, rows])
        best = _best(present, detections.image[rows], max_detections)
        hit = np.zeros((len(scores), len(THRESHOLDS), len(rows)), bool)
        skip = hit.copy()
        for d, g in image_groups(detections.image[rows], truth.image[garments], _LANDMARKS):
            which, target, is_hit, is_skip = _match_images(
                np.where(d >= 0, best[:, d], -np.inf),
                d,
                similarity(garments[g], rows[d]),
                ignored[garments[g]],
                truth.crowd[garments[g]],
            )
            hit[which, :, target], skip[which, :, target] = is_hit, is_skip
        total = int((~ignored[garments]).sum())
        for v, values in enumerate(best):
            kept = values > -np.inf
            precision[v, k] = precision_recall(values[kept], hit[v][:, kept], skip[v][:, kept], total)[
                0
            ]
    out = np.full(len(scores), -1.0)
    for v, values in enumerate(precision):
        known = values[values > -1]
        out[v] = known.mean() if len(known) else -1.0
    return out


def _best(scores: np.ndarray, image: np.ndarray, count: int) -> np.ndarray:
    """Scores (V, R) of rows sorted by image; -inf for all but the ``count`` best of each image."""
    _, starts, sizes = np.unique(image, return_index=True, return_counts=True)
    out = scores.copy()
    for start, size in zip(starts[sizes > count], sizes[sizes > count], strict=True):
        of_image = out[:, start : start + size]
        worse = np.argsort(-of_image, axis=1, kind="stable")[:, count:]
        np.put_along_axis(of_image, worse, -np.inf, 1)
    return out


def _match_images(
    values: np.ndarray, d: np.ndarray, similarity: np.ndarray, ignored: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Match the detections of N images in all V scorings.

    Args:
        values: (V, N, D) scores, -inf where a scoring lacks the detection.
        d: (N, D) index of each detection, -1 pads.
        similarity: (N, D, G) with the garments.
        ignored: (N, G) bool, garments that count neither way.
        crowd: (N, G) bool, garments that may be matched more than once.

    Returns:
        For each of M present detections: its scoring (M,), its index (M,), and by threshold (M, T)
        whether it matched a garment, and one that counts neither way.
    """
    order = np.argsort(-values, axis=-1, kind="stable")
    order = order[..., : int((values > -np.inf).sum(-1).max(initial=0))]
    present = np.take_along_axis(values, order, -1) > -np.inf
    ranked = np.take_along_axis(similarity[None], order[..., None], 2)
    ranked = np.where(present[..., None], ranked, -1.0)
    v, n, depth, size = ranked.shape

    def repeated(x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(x, (v, n, size)).reshape(v * n, size)

    choice = match(ranked.reshape(v * n, depth, size), repeated(ignored)[None], repeated(crowd))[
        0
    ].reshape(len(THRESHOLDS), v, n, depth)
    neutral = ignored[np.arange(n)[:, None], choice.clip(0)]  # (T, V, N, D)
    index = np.take_along_axis(np.broadcast_to(d, (v, *d.shape)), order, -1)
    which, image, rank = np.nonzero(present)
    matched = (choice >= 0)[:, which, image, rank]
    return (
        which,
        index[which, image, rank],
        matched.T,
        (matched & neutral[:, which, image, rank]).T,
    )
