"""Landmark AP as DeepFashion2 defines it (OKS-AP), equal to stock pycocotools and much faster.

Object keypoint similarity of a prediction with a garment (Ge et al., DeepFashion2, CVPR 2019,
evaluation protocol; COCO's keypoint protocol with 294 sigmas)::

    OKS = mean over labelled landmarks i of exp(-d_i^2 / (2 * area * (2 * sigma_i)^2))

with ``area`` the garment's box area. AP is the mean over thresholds .50:.05:.95, 101 recalls and the
categories that have ground truth; the 20 best predictions per image and category count. Only
the labelled landmarks of a category enter its OKS, so only these slots are read, for all images of
a category at once; pycocotools compares all 294 slots, one pair at a time. Two rules do read all 294:
ground truth without any labelled landmark, and the area of a submitted result.

``coco`` converts tables and ``coco_files`` reads files into ``instances``; ``matching`` assigns
detections to garments.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fashion_ops.evaluation.instances import Detections, GroundTruth
from fashion_ops.evaluation.matching import THRESHOLDS, match, precision_recall
from fashion_ops.taxonomy import sigmas

MAX_DETECTIONS = 20
STATS = ("AP", "AP50", "AP75", "AP(M)", "AP(L)", "AR", "AR50", "AR75", "AR(M)", "AR(L)")
AREAS = np.array([[0, 1e5**2], [32**2, 96**2], [96**2, 1e5**2]])  # all, medium, large; pixels^2
_EPS = np.spacing(1)
_CHUNK = 1 << 19  # landmark pairs handled at once


@dataclass(frozen=True)
class Scores:
    """AP and AR as fractions; -1 where there is no ground truth.

    ``stats`` maps the names in ``STATS`` to values, ``per_category`` category ids to AP.
    """

    stats: dict[str, float]
    per_category: dict[int, float]


def score_landmarks(
    truth: GroundTruth,
    detections: Detections,
    *,
    max_detections: int = MAX_DETECTIONS,
) -> Scores:
    """Compute the ten official numbers and the AP of each category.

    Args:
        truth: labelled garments.
        detections: predictions on images of ``truth``; the caller checks that they exist. Those of
            categories that are not evaluated are left out.
        max_detections: best predictions counted per image and category.
    """
    shape = (len(THRESHOLDS), 101, len(truth.category_ids), len(AREAS))
    precision, recall = -np.ones(shape), -np.ones((shape[0], *shape[2:]))
    for k, category_id in enumerate(truth.category_ids):
        matched = match_category(truth, detections, category_id, max_detections)
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
    """Detections and garments of one category after the matching, each ordered by image.

    Attributes:
        rows: (D,) indices into the detections.
        garments: (G,) indices into the ground truth.
        hit: (areas, thresholds, D) bool, the detection matched a garment.
        skip: (areas, thresholds, D) bool, the detection counts neither as true nor as false.
        ignored: (areas, G) bool, the garment counts neither as found nor as missed.
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
) -> Matched:
    """Match the detections of one category with its garments, in all images at once."""
    variances = (2 * sigmas()) ** 2
    garments = np.flatnonzero((truth.category == category_id) & np.isin(truth.image, truth.image_ids))
    garments = garments[np.argsort(truth.image[garments], kind="stable")]
    rows = _best(detections, np.flatnonzero(detections.category == category_id), max_detections)
    area = truth.area[garments]
    ignored = truth.ignored[garments] | (area < AREAS[:, :1]) | (area > AREAS[:, 1:])  # (A, G)
    hit, skip = _match_images(truth, detections, garments, rows, ignored, variances)
    return Matched(rows, garments, hit, skip, ignored)


def oks(
    points: np.ndarray,
    landmarks: np.ndarray,
    area: np.ndarray | np.floating,
    landmark_sigmas: np.ndarray,
) -> np.ndarray | np.floating:
    """OKS of predicted points with labelled garments, pair by pair.

    Args:
        points: (..., L, 2) predicted x, y in pixels.
        landmarks: (..., L, 3) labelled x, y, visibility; visibility 0 is not labelled.
        area: (...) of the garments, pixels^2.
        landmark_sigmas: (L,).

    Returns:
        (...), NaN where no landmark is labelled.
    """
    return _oks(points, landmarks, area, (2 * landmark_sigmas) ** 2)


def _oks(
    points: np.ndarray, landmarks: np.ndarray, area: np.ndarray | np.floating, variances: np.ndarray
) -> Any:
    labelled = landmarks[..., 2] > 0
    dx, dy = points[..., 0] - landmarks[..., 0], points[..., 1] - landmarks[..., 1]
    e = (dx**2 + dy**2) / variances / (np.asarray(area)[..., None] + _EPS) / 2
    with np.errstate(invalid="ignore"):
        return (np.exp(-e) * labelled).sum(-1) / labelled.sum(-1)


def _oks_of_unlabelled(
    points: np.ndarray, box: np.ndarray, area: float, variances: np.ndarray
) -> np.ndarray:
    """The official OKS with an unlabelled garment, by the distance of all slots to its tripled box."""
    low, high = box[:2] - box[2:], box[:2] + 2 * box[2:]
    d = np.maximum(0, low - points) + np.maximum(0, points - high)
    e = (d**2).sum(-1) / variances / (area + _EPS) / 2
    return np.exp(-e).sum(-1) / e.shape[-1]


def _best(detections: Detections, rows: np.ndarray, max_detections: int) -> np.ndarray:
    """Best rows of each image, by image and falling score (equal scores in order of submission)."""
    rows = rows[np.lexsort((-detections.score[rows], detections.image[rows]))]
    _, start, count = np.unique(detections.image[rows], return_index=True, return_counts=True)
    return rows[np.arange(len(rows)) - np.repeat(start, count) < max_detections]


def _match_images(
    truth: GroundTruth,
    detections: Detections,
    garments: np.ndarray,
    rows: np.ndarray,
    ignored: np.ndarray,
    variances: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """``Matched.hit`` and ``Matched.skip`` of one category, two (areas, thresholds, D) bool arrays."""
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
        matched = taken & (truth.ids[garments[target]] != 0)
        hit[:, :, d[real]] = matched[:, :, real]
        skip[:, :, d[real]] = np.where(matched, neutral, (taken & neutral) | skip[:, :, d])[:, :, real]
    return hit, skip


def image_groups(
    detection_image: np.ndarray, garment_image: np.ndarray, num_slots: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batch images by their number of garments, so that each batch is compared at once.

    Args:
        detection_image: image of each detection, sorted.
        garment_image: image of each garment, sorted.
        num_slots: landmark slots to compare, which bounds the size of a batch.

    Yields:
        Indices of detections (N, D), padded with -1, and of garments (N, G) of N images. Images without
        a garment or without a detection are left out.
    """
    d_ids, d_start, d_count = np.unique(detection_image, return_index=True, return_counts=True)
    g_ids, g_start, g_count = np.unique(garment_image, return_index=True, return_counts=True)
    _, in_d, in_g = np.intersect1d(d_ids, g_ids, return_indices=True)
    for num_garments in np.unique(g_count[in_g]):
        same = g_count[in_g] == num_garments
        dets, start, firsts = d_count[in_d[same]], d_start[in_d[same]], g_start[in_g[same]]
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
        all_slots = detections.points.take(rows[i], slice(0, len(variances)))
        garment = garments[i, g]
        out[i, :, g] = _oks_of_unlabelled(
            all_slots, truth.boxes[garment], float(truth.area[garment]), variances
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
