"""What went wrong with each labelled garment when the models had to find it by themselves.

A garment is paired with the detection whose box overlaps its own most. It is

- ``missed``: no box reaches an IoU of ``SAME_BOX``;
- ``confused``: the box is there, under another category only;
- ``misplaced``: box and category are right, and the OKS of its landmarks is below ``GOOD_OKS``;
- ``found``: all of it is right.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fashion_ops.evaluation.oks import oks
from fashion_ops.evaluation.overlaps import overlaps
from fashion_ops.taxonomy import Category, category

SAME_BOX, GOOD_OKS = 0.5, 0.5
KINDS = ("missed", "confused", "misplaced", "found")
COLUMNS = ("image_id", "garment_id", "category", "kind", "predicted", "oks")


def find_failures(
    garments: pd.DataFrame, predictions: pd.DataFrame, min_score: float = 0.0
) -> pd.DataFrame:
    """Judge every garment by the predictions on its image.

    Args:
        garments: ``schemas.GARMENTS`` of the evaluated split.
        predictions: ``schemas.PREDICTIONS`` on detected boxes.
        min_score: predictions with a lower score do not count.

    Returns:
        One row per garment: the columns in ``COLUMNS``. ``predicted`` is the category under which it
        was found, or "". ``oks`` is NaN without the right category, or without a labelled landmark,
        which counts as found.
    """
    counted = predictions[predictions["score"] >= min_score]
    by_image = dict(iter(counted.groupby("image_id", sort=False)))
    rows = []
    columns = (garments[k] for k in ("image_id", "garment_id", "category_id", "box", "landmarks"))
    for image_id, garment_id, kind, box, landmarks in zip(*columns, strict=True):
        c = category(int(kind))
        on_image = by_image.get(image_id, counted.head(0))
        result = _judge(c, np.asarray(box, float), np.reshape(landmarks, (-1, 3)), on_image)
        rows.append((int(image_id), int(garment_id), c.name, *result))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _judge(
    c: Category, box: np.ndarray, truth: np.ndarray, predictions: pd.DataFrame
) -> tuple[str, str, float]:
    """Kind, predicted category and OKS of a garment with landmarks (n, 3) in a box (4,)."""
    boxes = np.array(predictions["box"].to_list(), float).reshape(-1, 4)
    overlap, kinds = overlaps(box[None], boxes)[0], predictions["category_id"].to_numpy()
    near = overlap >= SAME_BOX
    if not near.any():
        return "missed", "", float("nan")
    right = near & (kinds == c.id)
    if not right.any():
        return "confused", category(int(kinds[overlap.argmax()])).name, float("nan")
    points = predictions["landmarks"].iloc[int(np.where(right, overlap, -1).argmax())]
    if not len(points) or not (truth[:, 2] > 0).any():
        return "found", c.name, float("nan")
    area, points = (box[2:] - box[:2]).prod(), np.reshape(points, (-1, 3))[:, :2].astype(float)
    similarity = float(oks(points, truth.astype(float), area, c.sigmas))
    return "found" if similarity >= GOOD_OKS else "misplaced", c.name, similarity


def count_failures(failures: pd.DataFrame) -> Mapping[str, int]:
    """Number of garments of each of ``KINDS``."""
    counts = failures["kind"].value_counts()
    return {kind: int(counts.get(kind, 0)) for kind in KINDS}


def describe_failure(row: Mapping[str, object]) -> str:
    """What is wrong with a garment, in a few words; ``row`` is one of ``find_failures``."""
    name = str(row["category"]).replace("_", " ")
    if row["kind"] == "missed":
        return f"{name} not found"
    if row["kind"] == "confused":
        return f"{name} taken for {str(row['predicted']).replace('_', ' ')}"
    return f"{name}, OKS {row['oks']:.2f}"
