"""OKS of each garment with the prediction in its own box, and the interval of its mean over photos.

With few photos it is steadier than AP. Photos are drawn with replacement (Efron & Tibshirani, An
Introduction to the Bootstrap, 1993), each with all its garments.
"""

import numpy as np
import pandas as pd

from fashion_ops.evaluation.oks import oks
from fashion_ops.taxonomy import category, sigmas

RESAMPLES = 2000
CONFIDENCE = 0.95


def garment_oks(garments: pd.DataFrame, predictions: pd.DataFrame) -> np.ndarray:
    """OKS of each garment (N,) with the prediction in its own box.

    Args:
        garments: ``schemas.GARMENTS`` with labelled landmarks.
        predictions: ``schemas.PREDICTIONS``, one row a garment, joined by garment_id.
    """
    found = dict(zip(predictions["garment_id"], predictions["landmarks"], strict=True))
    out = []
    for garment_id, category_id, box, landmarks in zip(
        garments["garment_id"],
        garments["category_id"],
        garments["box"],
        garments["landmarks"],
        strict=True,
    ):
        width, height = np.subtract(box[2:], box[:2], dtype=float)
        points = np.reshape(found[garment_id], (-1, 3))[:, :2]
        own = sigmas()[category(int(category_id)).slots]
        truth = np.reshape(landmarks, (-1, 3)).astype(float)
        out.append(float(oks(points, truth, np.float64(width * height), own)))
    return np.array(out)


def photo_interval(values: np.ndarray, image_ids: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of a number of each garment (N,), such as its OKS, over drawn photos.

    Args:
        values: of the garments; of paired models, their differences.
        image_ids: (N,) photo of each garment.
    """
    sums = pd.Series(values, image_ids).groupby(level=0).agg(["sum", "size"]).to_numpy()
    draws = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    drawn = sums[draws].sum(1)
    tails = 50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], tails)
    return float(low), float(high)
