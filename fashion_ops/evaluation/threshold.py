"""The score from which on a detector's garments are reported: where F1 is highest on labelled images.

A detection is right if it overlaps a garment of its category that no better one has taken, by an IoU of
at least 0.5.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from fashion_ops.evaluation.instances import GroundTruth

LEAST_IOU = 0.5


@dataclass(frozen=True)
class Threshold:
    """A score, and what it reaches where it was chosen.

    Attributes:
        score: 0..1.
        precision: share of the detections from it on that are right.
        recall: share of the garments that these find.
    """

    score: float
    precision: float
    recall: float


def right_detections(
    truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
    boxes: Float[np.ndarray, "n 4"],
    scores: np.ndarray,
) -> Bool[np.ndarray, " n"]:
    """Say for each detection whether it finds a garment of its category.

    Args:
        truth: the labelled garments.
        image: (N,) image ids of the detections.
        category: (N,) their category ids.
        boxes: x1, y1, x2, y2 in pixels.
        scores: (N,); the best ones choose first.
    """
    corners = truth.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    free = np.ones(len(corners), bool)
    right = np.zeros(len(scores), bool)
    for row in np.argsort(-scores, kind="stable"):
        rows = np.flatnonzero((truth.image == image[row]) & (truth.category == category[row]) & free)
        if len(rows) == 0:
            continue
        overlaps = _iou(boxes[row].astype(float), corners[rows])
        best = int(overlaps.argmax())
        if overlaps[best] >= LEAST_IOU:
            free[rows[best]], right[row] = False, True
    return right


def best_threshold(scores: np.ndarray, right: np.ndarray, garments: int) -> Threshold | None:
    """Choose the score with the highest F1, in the middle between two detections.

    Args:
        scores: (N,) of all detections, 0..1.
        right: (N,) whether each finds a garment.
        garments: their number.

    Returns:
        The score; None if no detection is right.
    """
    order = np.argsort(-scores, kind="stable")
    hits, counts = np.cumsum(right[order]), np.arange(1, len(scores) + 1)
    if not right.any():
        return None
    f1 = 2 * hits / (counts + garments)
    last = int(f1.argmax())
    lowest = float(scores[order[last]])
    following = float(scores[order[last + 1]]) if last + 1 < len(scores) else 0.0
    return Threshold((lowest + following) / 2, hits[last] / counts[last], hits[last] / garments)


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union (n,) of a box x1, y1, x2, y2 with others (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    inner = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return inner / np.maximum(areas - inner, 1e-9)
