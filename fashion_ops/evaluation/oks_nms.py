"""OKS-NMS: of two predicted garments whose landmarks nearly coincide the worse one goes.

As in human pose estimation (Papandreou et al., CVPR 2017, 3.3), within an image and category. The
similarity is COCO's, with every landmark counted and the mean of both boxes' areas in the place of the
labelled one's.
"""

import numpy as np
import pandas as pd

from fashion_ops.taxonomy import category


def suppress(predictions: pd.DataFrame, threshold: float | None) -> pd.DataFrame:
    """``schemas.PREDICTIONS`` without garments that repeat a better one; the order stays.

    Args:
        predictions: of any images.
        threshold: OKS above which two are the same; None keeps all.
    """
    if threshold is None:
        return predictions
    keep = np.ones(len(predictions), bool)
    scores = predictions["score"].to_numpy()
    boxes = np.stack(predictions["box"].to_list()) if len(predictions) else np.zeros((0, 4))
    landmarks = predictions["landmarks"].to_list()
    groups = predictions.groupby(["image_id", "category_id"], sort=False).indices
    category_ids = predictions["category_id"].to_numpy()
    for rows in map(np.asarray, groups.values()):
        if len(rows) > 1:
            best_first = rows[np.argsort(-scores[rows], kind="stable")]
            points = np.stack([np.reshape(landmarks[row], (-1, 3))[:, :2] for row in best_first])
            alike = _similarities(points, boxes[best_first], int(category_ids[rows[0]]))
            keep[best_first] = _greedy(alike, threshold)
    return predictions[keep].reset_index(drop=True)


def _greedy(alike: np.ndarray, threshold: float) -> np.ndarray:
    """Which of n garments, best first, stay: (n,) from their similarities (n, n)."""
    keep = np.ones(len(alike), bool)
    for i in range(len(alike)):
        if keep[i]:
            keep[i + 1 :] &= alike[i, i + 1 :] <= threshold
    return keep


def _similarities(points: np.ndarray, boxes: np.ndarray, category_id: int) -> np.ndarray:
    """OKS (n, n) of every two of n garments of one category: landmarks (n, K, 2), boxes (n, 4)."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    both = (area[:, None] + area[None])[..., None] / 2 + np.spacing(1)
    variance = (2 * category(category_id).sigmas) ** 2
    return np.exp(-distance / (2 * both * variance)).mean(-1)
