"""OKS-NMS: of two predicted garments with nearly the same landmarks, drop the lower-scored one.

As in human pose estimation (Papandreou et al., CVPR 2017, 3.3), within an image and category. The
similarity is COCO's OKS over all landmarks, with the mean area of both boxes as the garment's area.
"""

import numpy as np
import pandas as pd

from fashion_ops.taxonomy import category


def oks_nms(predictions: pd.DataFrame, threshold: float | None) -> pd.DataFrame:
    """Remove predictions that repeat a better one; the rest keeps its order.

    Args:
        predictions: ``schemas.PREDICTIONS`` of any images.
        threshold: OKS above which two predictions are the same garment; None keeps all.
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
            similarity = _similarities(points, boxes[best_first], int(category_ids[rows[0]]))
            keep[best_first] = _greedy(similarity, threshold)
    return predictions[keep].reset_index(drop=True)


def _greedy(similarity: np.ndarray, threshold: float) -> np.ndarray:
    """Which of n garments, best first, are kept: bool (n,) from their similarities (n, n)."""
    keep = np.ones(len(similarity), bool)
    for i in range(len(similarity)):
        if keep[i]:
            keep[i + 1 :] &= similarity[i, i + 1 :] <= threshold
    return keep


def _similarities(points: np.ndarray, boxes: np.ndarray, category_id: int) -> np.ndarray:
    """Pairwise OKS (n, n) of garments of one category, from landmarks (n, K, 2) and boxes (n, 4)."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    both = (area[:, None] + area[None])[..., None] / 2 + np.spacing(1)
    variance = (2 * category(category_id).sigmas) ** 2
    return np.exp(-distance / (2 * both * variance)).mean(-1)
