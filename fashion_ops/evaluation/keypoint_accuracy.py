"""PCK, AUC and EPE by category, as mmpose defines them for DeepFashion2, beside its published rows.

mmpose trains one network per category (ResNet-50, 256 x 192 crops) and evaluates on ground-truth boxes
and categories, over all labelled landmarks, occluded ones included:

- EPE: mean distance in pixels of the photo, over all landmarks of all garments.
- PCK@0.2: share of landmarks nearer than 0.2 sizes; each landmark's share first, then their mean.
- AUC: mean PCK over 20 thresholds 0, 1.5, ..., 28.5 pixels (0 <= t < 30).

The size of PCK ought to be the box's longer side. The code that made the published rows takes the
largest coordinate of the box's lower right corner (``PCKAccuracy.process`` takes the maximum of
``bboxes[2:]``, and its boxes are corners), which is larger wherever the box does not begin at 0: its
PCK is too kind. ``PCK`` here has the longer side; ``PCK corner`` compares with the published rows.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fashion_ops.taxonomy import CATEGORIES

COLUMNS = ("garments", "PCK", "PCK corner", "AUC", "EPE")
THRESHOLD = 0.2  # of the size, for PCK
PIXELS = 30.0  # of AUC
STEPS = 20
MEAN = "mean"  # row: over the categories with a labelled landmark

# PCK@0.2, AUC, EPE of each category: mmpose, fashion_2d_keypoint/topdown_heatmap/deepfashion2,
# res50_deepfashion2.md (validation split, ground-truth boxes)
PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "short_sleeve_top": (0.983, 0.680, 11.75),
    "long_sleeve_top": (0.961, 0.535, 20.23),
    "short_sleeve_outwear": (0.933, 0.486, 22.63),
    "long_sleeve_outwear": (0.980, 0.488, 19.89),
    "vest": (0.940, 0.609, 20.32),
    "sling": (0.957, 0.453, 24.41),
    "shorts": (0.961, 0.662, 14.45),
    "trousers": (0.966, 0.600, 16.09),
    "skirt": (0.944, 0.634, 18.80),
    "short_sleeve_dress": (0.977, 0.578, 16.77),
    "long_sleeve_dress": (0.959, 0.484, 24.06),
    "vest_dress": (0.968, 0.568, 17.80),
    "sling_dress": (0.931, 0.541, 24.48),
}


def keypoint_accuracy(garments: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Score landmarks that were predicted on ground-truth boxes and categories.

    Args:
        garments: ``schemas.GARMENTS`` of the evaluated split.
        predictions: ``schemas.PREDICTIONS`` on ground-truth boxes, joined by garment_id. All landmarks
            of a garment without a row count as wrong in PCK and AUC; EPE leaves them out.

    Returns:
        A row per category, in the taxonomy's order, and ``MEAN``; the columns in ``COLUMNS``. PCK and
        AUC are fractions, EPE is in pixels; NaN for a category without a labelled landmark.
    """
    predicted = dict(zip(predictions["garment_id"], predictions["landmarks"], strict=True))
    rows = {}
    for c in CATEGORIES:
        own = garments[garments["category_id"] == c.id]
        shape = (len(own), c.num_landmarks, 3)
        truth = np.array([np.asarray(x, float) for x in own["landmarks"]]).reshape(shape)
        missing = np.full(3 * c.num_landmarks, np.inf)
        found = [np.asarray(predicted.get(i, missing), float) for i in own["garment_id"]]
        boxes = np.array([np.asarray(x, float) for x in own["box"]]).reshape(-1, 4)
        rows[c.name] = accuracy_row(truth, np.array(found).reshape(shape)[..., :2], boxes)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    table.loc[MEAN] = [table["garments"].sum(), *table[list(COLUMNS[1:])].mean()]
    return table.astype({"garments": int}).rename_axis("category")


def pck(distances: np.ndarray, labelled: np.ndarray, limit: np.ndarray | float) -> float:
    """Share of distances below ``limit``: of each landmark first, then their mean.

    Args:
        distances: (N, K), infinite where nothing was predicted.
        labelled: (N, K), which of them count.
        limit: a number, or (N, 1), in the unit of the distances.

    Returns:
        NaN if no landmark counts.
    """
    counts = labelled.sum(0)
    near = ((distances < limit) & labelled).sum(0)
    return float((near[counts > 0] / counts[counts > 0]).mean()) if counts.any() else float("nan")


def accuracy_row(
    truth: np.ndarray, predicted: np.ndarray, boxes: np.ndarray
) -> tuple[int, float, float, float, float]:
    """The numbers of one category, in the order of ``COLUMNS``.

    Args:
        truth: (N, K, 3) x, y, visibility; 0 is not labelled.
        predicted: (N, K, 2), infinite where nothing was predicted.
        boxes: (N, 4) x1, y1, x2, y2.
    """
    labelled = truth[..., 2] > 0
    distances = np.linalg.norm(predicted - truth[..., :2], axis=-1)
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)[:, None]
    corner = boxes[:, 2:].max(axis=1, initial=0.0)[:, None]
    counted = distances[labelled & np.isfinite(distances)]
    steps = [pck(distances, labelled, PIXELS * i / STEPS) for i in range(STEPS)]
    return (
        len(truth),
        pck(distances, labelled, THRESHOLD * side),
        pck(distances, labelled, THRESHOLD * corner),
        float(np.mean(steps)),
        float(counted.mean()) if len(counted) else float("nan"),
    )
