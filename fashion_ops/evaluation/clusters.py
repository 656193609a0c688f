"""Landmark error by category and pseudo-label cluster (DFA's landmark configurations).

A cluster holds garments of one category whose landmarks have similar places in the box. A cluster with
a large error is a pose, a view or a crop that the model has not learned.
"""

import numpy as np
import pandas as pd

from fashion_ops.evaluation.oks import oks
from fashion_ops.taxonomy import category

COLUMNS = ("category", "cluster", "garments", "error", "oks")


def garment_errors(garments: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Error of each garment that has a labelled landmark and a prediction with its garment_id.

    Returns:
        garment_id, category_id, ``error`` (mean distance of labelled landmarks, x in box widths and y
        in box heights: the normalised error NE of the fashion-landmark literature, in the box instead
        of the image) and ``oks``.
    """
    predicted = dict(zip(predictions["garment_id"], predictions["landmarks"], strict=True))
    rows = []
    columns = ("garment_id", "category_id", "box", "landmarks")
    for garment_id, kind, box, landmarks in zip(*(garments[c] for c in columns), strict=True):
        truth = np.reshape(landmarks, (-1, 3)).astype(float)
        labelled = truth[:, 2] > 0
        if garment_id not in predicted or not labelled.any():
            continue
        points = np.reshape(predicted[garment_id], (-1, 3))[:, :2].astype(float)
        size = np.subtract(box[2:], box[:2], dtype=float)
        error = np.linalg.norm((points - truth[:, :2]) / size, axis=1)[labelled].mean()
        similarity = oks(points, truth, size.prod(), category(int(kind)).sigmas)
        rows.append((int(garment_id), int(kind), float(error), float(similarity)))
    return pd.DataFrame(rows, columns=["garment_id", "category_id", "error", "oks"])


def errors_by_cluster(
    garments: pd.DataFrame, predictions: pd.DataFrame, labels: pd.DataFrame
) -> pd.DataFrame:
    """Mean error by category and cluster; categories in order, worst cluster first.

    Args:
        garments: ``schemas.GARMENTS`` of the evaluated split.
        predictions: ``schemas.PREDICTIONS`` on ground-truth boxes, joined by garment_id.
        labels: ``schemas.PSEUDO_LABELS``; garments without a row or with cluster -1 are left out.

    Returns:
        The columns in ``COLUMNS``; ``error`` and ``oks`` are means over ``garments`` garments.
    """
    each = garment_errors(garments, predictions).merge(
        labels[["garment_id", "cluster"]], on="garment_id"
    )
    each = each[each["cluster"] >= 0]
    table = (
        each.groupby(["category_id", "cluster"])
        .agg(garments=("garment_id", "size"), error=("error", "mean"), oks=("oks", "mean"))
        .reset_index()
        .sort_values(
            ["category_id", "error", "cluster"], ascending=[True, False, True], ignore_index=True
        )
    )
    table.insert(0, "category", [category(int(c)).name for c in table["category_id"]])
    return table.reindex(columns=list(COLUMNS))
