"""PCK, AUC and EPE of a COCO result file against an annotation file, from any source.

A result file does not say which garment a result is of. Results are paired as the official evaluator
pairs them, without its thresholds: by falling score, each with the free garment of its picture and
category whose OKS with it is greatest. A garment without a result counts as wrong in PCK and AUC;
results without a garment count nowhere. ``keypoint_accuracy`` has the definitions.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.evaluation.coco_annotations import check_needed, ground_truth, load_annotations
from fashion_ops.evaluation.coco_files import names_by_id
from fashion_ops.evaluation.coco_results import read_results
from fashion_ops.evaluation.instances import Detections, GroundTruth
from fashion_ops.evaluation.keypoint_accuracy import COLUMNS, MEAN, accuracy_row
from fashion_ops.evaluation.oks import image_groups, pairwise_oks
from fashion_ops.taxonomy import sigmas


def score_accuracy(annotations: Path, predictions: Path, processes: int = 1) -> dict[str, Any]:
    """Compute PCK@0.2, AUC and EPE of each category.

    Args:
        annotations: COCO annotations with 294 keypoints.
        predictions: COCO results with 882 numbers each, predicted on the garments' own boxes and
            categories.
        processes: at most so many read a large result file.

    Returns:
        ``columns``, those of ``keypoint_accuracy``; ``rows``, their values by category id as text and
        ``mean``; ``category_names``, those of the file, by category id. A category without a labelled
        landmark has no row.

    Raises:
        ValueError: a file can't be read, or a record in it is wrong.
    """
    file = load_annotations(annotations)
    truth = ground_truth(file)
    detections = read_results(predictions, truth, processes)
    check_needed(file)
    rows = {}
    for category_id in truth.category_ids.tolist():
        found = _row(truth, detections, category_id)
        if found is not None:
            rows[str(category_id)] = found
    if not rows:
        raise ValueError(f"{annotations}: no garment has a labelled landmark; nothing can be scored")
    values = np.array(list(rows.values()), float)
    mean = [int(values[:, 0].sum()), *(float(v) for v in np.nanmean(values[:, 1:], 0))]
    names = names_by_id(file.data)
    return {
        "columns": list(COLUMNS),
        "rows": {c: list(row) for c, row in rows.items()} | {MEAN: mean},
        "category_names": {c: names.get(c, "") for c in rows},
    }


def pair(truth: GroundTruth, detections: Detections, garments: np.ndarray) -> np.ndarray:
    """Find the result of each garment of one category.

    Args:
        truth: labelled garments.
        detections: predictions for them.
        garments: (G,) indices into the truth, all of one category, ordered by image.

    Returns:
        (G,) index into the detections, -1 where there is none.
    """
    result = np.full(len(garments), -1)
    category_id = truth.category[garments[0]]
    rows = np.flatnonzero(detections.category == category_id)
    rows = rows[np.lexsort((-detections.score[rows], detections.image[rows]))]
    slots = used_slots(truth, garments)
    variances = (2 * sigmas()) ** 2
    for d, g in image_groups(detections.image[rows], truth.image[garments], slots.stop - slots.start):
        similarity = pairwise_oks(truth, detections, garments[g], rows[d], slots, variances)
        similarity[d < 0] = -1  # padding
        for i in range(d.shape[1]):
            best = similarity[:, i].argmax(-1)
            chosen = np.take_along_axis(similarity[:, i], best[:, None], -1)[:, 0] >= 0
            images = np.flatnonzero(chosen)
            result[g[images, best[images]]] = rows[d[images, i]]
            similarity[images, :, best[images]] = -1  # taken
    return result


def used_slots(truth: GroundTruth, garments: np.ndarray) -> slice:
    """The range of slots that hold a labelled landmark of any of these garments."""
    used = np.flatnonzero((truth.keypoints[garments, :, 2] > 0).any(0))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def _row(
    truth: GroundTruth, detections: Detections, category_id: int
) -> tuple[int, float, float, float, float] | None:
    """The numbers of one category; None where no garment of it has a labelled landmark."""
    labelled = (truth.keypoints[..., 2] > 0).any(1)
    counted = (truth.category == category_id) & labelled & ~truth.crowd
    garments = np.flatnonzero(counted & np.isin(truth.image, truth.image_ids))
    if not len(garments):
        return None
    garments = garments[np.argsort(truth.image[garments], kind="stable")]
    slots, paired = used_slots(truth, garments), pair(truth, detections, garments)
    points = np.full((len(garments), slots.stop - slots.start, 2), np.inf)
    points[paired >= 0] = detections.points.take(paired[paired >= 0], slots)
    corners = truth.boxes[garments].astype(float)
    corners[:, 2:] += corners[:, :2]
    return accuracy_row(truth.keypoints[garments, slots], points, corners)
