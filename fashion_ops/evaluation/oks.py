"""Landmark AP as DeepFashion2 defines it (OKS-AP), equal to stock pycocotools and much faster.

Object keypoint similarity of a prediction with a garment (Ge et al., DeepFashion2, CVPR 2019,
evaluation protocol; COCO's keypoint protocol with 294 sigmas)::

    OKS = mean over labelled landmarks i of exp(-d_i^2 / (2 * area * (2 * sigma_i)^2))

with ``area`` the garment's box area. AP is the mean over thresholds .50:.05:.95, 101 recalls and the
categories that have ground truth; the 20 best predictions per image and category count. Only
the labelled landmarks of a category enter its OKS, so only these slots are read, for all images of
a category at once; pycocotools compares all 294 slots, one pair at a time. Two rules do read all 294:
ground truth without any labelled landmark, and the area of a submitted result.

Files and tables are turned into ``GroundTruth`` and ``Detections`` by ``coco``; the matching itself is
in ``matching``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fashion_ops.evaluation.matching import THRESHOLDS, match, precision_recall
from fashion_ops.taxonomy import category, sigmas

MAX_DETECTIONS = 20
STATS = ("AP", "AP50", "AP75", "AP(M)", "AP(L)", "AR", "AR50", "AR75", "AR(M)", "AR(L)")
AREAS = np.array([[0, 1e5**2], [32**2, 96**2], [96**2, 1e5**2]])  # all, medium, large; pixels^2
_EPS = np.spacing(1)
_CHUNK = 1 << 19  # landmark pairs handled at once


@dataclass(frozen=True)
class GroundTruth:
    """Labelled garments: G rows over all images.

    ``boxes`` (G, 4) are x, y, width, height; ``keypoints`` (G, 294, 3) are x, y, visibility, pixels.
    ``image_ids`` and ``category_ids`` say what is evaluated, also where nothing is labelled.
    ``ids`` start at 1: pycocotools takes a match with id 0 for no match, and so do we.
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


class Points(Protocol):
    """Where the predicted points of the detections come from."""

    def take(self, rows: np.ndarray, slots: slice) -> np.ndarray:
        """x, y of some slots of some detections (all of one category), shape (n, slots, 2)."""
        ...


@dataclass(frozen=True)
class Detections:
    """Predictions: N rows in the order of submission, which decides between equal scores.

    ``area`` (N,) is that of the rectangle around all 294 submitted points, pixels^2.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    area: np.ndarray
    points: Points


@dataclass(frozen=True)
class Scores:
    """Results as fractions; -1 where there is no ground truth.

    ``stats`` maps the names in ``STATS``; ``per_category`` maps category ids to AP.
    """

    stats: dict[str, float]
    per_category: dict[int, float]

    @property
    def by_name(self) -> dict[str, float]:
        """AP by category name."""
        return {category(c).name: ap for c, ap in self.per_category.items()}


def score_landmarks(
    truth: GroundTruth,
    detections: Detections,
    *,
    max_detections: int = MAX_DETECTIONS,
    oks_sigmas: np.ndarray | None = None,
) -> Scores:
    """The ten official numbers and the AP of each category.

    ``oks_sigmas`` replaces the official 294 (shape = number of slots). The caller makes sure that
    every detection's image exists; detections of categories that are not evaluated are left out.
    """
    shape = (len(THRESHOLDS), 101, len(truth.category_ids), len(AREAS))
    precision, recall = -np.ones(shape), -np.ones((shape[0], *shape[2:]))
    for k, category_id in enumerate(truth.category_ids):
        matched = match_category(truth, detections, category_id, max_detections, oks_sigmas)
        scores, hit, skip = detections.score[matched.rows], matched.hit, matched.skip
        for a, ignored in enumerate(matched.ignored):
            precision[:, :, k, a], recall[:, k, a] = precision_recall(
                scores, hit[a], skip[a], int((~ignored).sum())
            )
    return Scores(
        stats=_summary(precision, recall),
        per_category={int(c): _mean(precision[:, :, k, 0]) for k, c in enumerate(truth.category_ids)},
    )


@dataclass(frozen=True)
class Matched:
    """One category's detections and garments after the matching, each by image.

    ``rows`` (D,) of the detections, ``garments`` (G,) of the ground truth; ``hit`` and ``skip``
    (areas, thresholds, D): took a garment, counts neither way; ``ignored`` (areas, G): not to be found.
    """

    rows: np.ndarray
    garments: np.ndarray
    hit: np.ndarray
    skip: np.ndarray
    ignored: np.ndarray


def match_category(
    truth: GroundTruth,
    detections: Detections,
    category_id: int,
    max_detections: int = MAX_DETECTIONS,
    oks_sigmas: np.ndarray | None = None,
) -> Matched:
    """Who takes whom in one category, in all images at once."""
    variances = (2 * (sigmas() if oks_sigmas is None else oks_sigmas)) ** 2
    garments = np.flatnonzero((truth.category == category_id) & np.isin(truth.image, truth.image_ids))
    garments = garments[np.argsort(truth.image[garments], kind="stable")]
    rows = _best(detections, np.flatnonzero(detections.category == category_id), max_detections)
    area = truth.area[garments]
    ignored = truth.ignored[garments] | (area < AREAS[:, :1]) | (area > AREAS[:, 1:])  # (A, G)
    hit, skip = _judge(truth, detections, garments, rows, ignored, variances)
    return Matched(rows, garments, hit, skip, ignored)


def oks(
    points: np.ndarray,
    landmarks: np.ndarray,
    area: np.ndarray | np.floating,
    landmark_sigmas: np.ndarray,
) -> np.ndarray | np.floating:
    """OKS of pairs: points (..., L, 2), landmarks (..., L, 3), area (...), sigmas (L,) -> (...).

    NaN where no landmark is labelled.
    """
    return _oks(points, landmarks, area, (2 * landmark_sigmas) ** 2)


def _oks(
    points: np.ndarray, landmarks: np.ndarray, area: np.ndarray | np.floating, variances: np.ndarray
) -> Any:
    labelled = landmarks[..., 2] > 0
    dx, dy = points[..., 0] - landmarks[..., 0], points[..., 1] - landmarks[..., 1]
    e = (dx**2 + dy**2) / variances / (area[..., None] + _EPS) / 2
    with np.errstate(invalid="ignore"):
        return (np.exp(-e) * labelled).sum(-1) / labelled.sum(-1)


def _oks_of_unlabelled(
    points: np.ndarray, box: np.ndarray, area: float, variances: np.ndarray
) -> np.ndarray:
    """The official stand-in where nothing is labelled: distance of all slots to the tripled box."""
    low, high = box[:2] - box[2:], box[:2] + 2 * box[2:]
    d = np.maximum(0, low - points) + np.maximum(0, points - high)
    e = (d**2).sum(-1) / variances / (area + _EPS) / 2
    return np.exp(-e).sum(-1) / e.shape[-1]


def _best(detections: Detections, rows: np.ndarray, max_detections: int) -> np.ndarray:
    """Rows by image, then falling score (equal scores as submitted), the best of each image."""
    rows = rows[np.lexsort((-detections.score[rows], detections.image[rows]))]
    _, start, count = np.unique(detections.image[rows], return_index=True, return_counts=True)
    return rows[np.arange(len(rows)) - np.repeat(start, count) < max_detections]


def _judge(
    truth: GroundTruth,
    detections: Detections,
    garments: np.ndarray,
    rows: np.ndarray,
    ignored: np.ndarray,
    variances: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Of one category: did each detection hit, and is it left out; two (A, T, D) bool arrays."""
    shape = (len(AREAS), len(THRESHOLDS), len(rows))
    outside = (detections.area[rows] < AREAS[:, :1]) | (detections.area[rows] > AREAS[:, 1:])
    hit, skip = np.zeros(shape, bool), np.repeat(outside[:, None], len(THRESHOLDS), 1)
    labelled = truth.keypoints[garments, :, 2] > 0
    used = np.flatnonzero(labelled.any(0))
    slots = slice(used[0], used[-1] + 1) if len(used) else slice(0, 0)
    for d, g in image_groups(detections.image[rows], truth.image[garments], slots.stop - slots.start):
        real = d >= 0
        similarity = pairwise_oks(truth, detections, garments[g], rows[d], slots, variances)
        similarity[~real] = -1
        choice = match(similarity, ignored[:, g], truth.crowd[garments[g]])
        taken = choice >= 0
        target = np.take_along_axis(g[None, None], choice.clip(0), -1)  # (A, T, N, D)
        neutral = ignored[np.arange(len(AREAS))[:, None, None, None], target]
        found = taken & (truth.ids[garments[target]] != 0)
        hit[:, :, d[real]] = found[:, :, real]
        skip[:, :, d[real]] = np.where(found, neutral, (taken & neutral) | skip[:, :, d])[:, :, real]
    return hit, skip


def image_groups(
    detection_image: np.ndarray, garment_image: np.ndarray, num_slots: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images with both, batched by number of garments: indices (N, D) padded with -1, (N, G)."""
    d_ids, d_start, d_count = np.unique(detection_image, return_index=True, return_counts=True)
    g_ids, g_start, g_count = np.unique(garment_image, return_index=True, return_counts=True)
    _, in_d, in_g = np.intersect1d(d_ids, g_ids, return_indices=True)
    for num_garments in np.unique(g_count[in_g]):
        mine = g_count[in_g] == num_garments
        dets, start, firsts = d_count[in_d[mine]], d_start[in_d[mine]], g_start[in_g[mine]]
        depth = int(dets.max())
        step = max(1, _CHUNK // (depth * int(num_garments) * max(num_slots, 1)))
        for i in range(0, len(dets), step):
            k = np.arange(depth)
            d = np.where(k < dets[i : i + step, None], start[i : i + step, None] + k, -1)
            yield d, firsts[i : i + step, None] + np.arange(num_garments)


def pairwise_oks(
    truth: GroundTruth,
    detections: Detections,
    garments: np.ndarray,
    rows: np.ndarray,
    slots: slice,
    variances: np.ndarray,
) -> np.ndarray:
    """OKS of detections (N, D) with garments (N, G): (N, D, G)."""
    n, depth = rows.shape
    points = detections.points.take(rows.ravel(), slots).reshape(n, depth, 1, -1, 2)
    landmarks = truth.keypoints[garments, slots][:, None]
    out = _oks(points, landmarks, truth.area[garments][:, None], variances[slots])
    for i, g in np.argwhere(~(landmarks[:, 0, :, :, 2] > 0).any(-1)):
        everywhere = detections.points.take(rows[i], slice(0, len(variances)))
        garment = garments[i, g]
        out[i, :, g] = _oks_of_unlabelled(
            everywhere, truth.boxes[garment], float(truth.area[garment]), variances
        )
    return out


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if len(values) else -1.0


def _summary(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    half, three_quarters = THRESHOLDS == 0.5, THRESHOLDS == 0.75
    values: list[float] = []
    for table in (precision, recall):
        values += [
            _mean(table[..., 0]),
            _mean(table[half][..., 0]),
            _mean(table[three_quarters][..., 0]),
        ]
        values += [_mean(table[..., 1]), _mean(table[..., 2])]
    return dict(zip(STATS, values, strict=True))
