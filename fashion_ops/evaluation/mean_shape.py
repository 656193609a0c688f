"""The mean-shape baseline: the mean position of each landmark within the box, by category."""

import numpy as np
import pandas as pd

from fashion_ops.catalog.schemas import PREDICTIONS
from fashion_ops.taxonomy import CATEGORIES, category


def fit_mean_shape(garments: pd.DataFrame) -> dict[int, np.ndarray]:
    """Mean box-normalised position of each landmark, from labelled landmarks only.

    Args:
        garments: training garments (``schemas.GARMENTS``).

    Returns:
        Category id -> (num_landmarks, 2), 0..1 across the box; 0.5 where no garment has the landmark.
    """
    shapes = {}
    for c in CATEGORIES:
        rows = garments[garments["category_id"] == c.id]
        total, count = np.zeros((c.num_landmarks, 2)), np.zeros((c.num_landmarks, 1))
        for box, landmarks in zip(rows["box"], rows["landmarks"], strict=True):
            points = np.reshape(landmarks, (-1, 3)).astype(float)
            size = np.subtract(box[2:], box[:2], dtype=float)
            labelled = points[:, 2:] > 0
            total += labelled * (points[:, :2] - box[:2]) / size
            count += labelled
        shapes[c.id] = np.where(count > 0, total / np.maximum(count, 1), 0.5)
    return shapes


def predict_mean_shape(shapes: dict[int, np.ndarray], boxes: pd.DataFrame) -> pd.DataFrame:
    """Place the mean shape of each category into boxes.

    Args:
        shapes: from ``fit_mean_shape``.
        boxes: garments or predictions: image_id, garment_id, category_id, box and optionally score.

    Returns:
        ``schemas.PREDICTIONS``, one row per box, with the score of the box or 1.
    """
    landmarks = []
    for kind, box in zip(boxes["category_id"], boxes["box"], strict=True):
        points = box[:2] + shapes[category(int(kind)).id] * np.subtract(box[2:], box[:2])
        landmarks.append(np.column_stack((points, np.ones(len(points)))).astype(np.float32).ravel())
    frame = pd.DataFrame(
        {
            "image_id": boxes["image_id"].to_numpy(np.int64),
            "garment_id": boxes["garment_id"].to_numpy(np.int64),
            "category_id": boxes["category_id"].to_numpy(np.int8),
            "score": np.asarray(
                boxes["score"] if "score" in boxes else np.ones(len(boxes)), np.float32
            ),
            "box": pd.Series(list(boxes["box"]), dtype=object),
            "landmarks": pd.Series(landmarks, dtype=object),
            "deviations": pd.Series([np.zeros(0, np.float32)] * len(boxes), dtype=object),
        }
    )
    return PREDICTIONS.validate(frame)


def mean_points(points: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Mean position of each of n landmarks over the garments where it is observed.

    Args:
        points: (N, n, 2) in a common frame.
        observed: bool (N, n).

    Returns:
        (n, 2); a landmark that is never observed gets the mean of all observed points.
    """
    counts = observed.sum(axis=0)[:, None]
    total = np.where(observed[..., None], points, 0.0).sum(axis=0)
    known = points[observed].mean(axis=0) if observed.any() else np.zeros(2)
    return np.where(counts > 0, total / np.maximum(counts, 1), known)


def mean_points_by_kind(
    points: np.ndarray, observed: np.ndarray, kinds: np.ndarray, like: np.ndarray
) -> np.ndarray:
    """Mean shape of each kind of garment, laid out for other garments.

    Args:
        points: (N, n, 2) in a common frame.
        observed: bool (N, n).
        kinds: (N,) kind of each garment, such as its clothing type.
        like: (M,) kinds of the garments that the shapes are for.

    Returns:
        (M, n, 2); a kind without any garment gets the mean over all, see ``mean_points``.
    """
    overall = mean_points(points, observed)
    out = np.broadcast_to(overall, (len(like), *overall.shape)).copy()
    for kind in np.unique(like):
        rows = kinds == kind
        if observed[rows].any():
            out[like == kind] = mean_points(points[rows], observed[rows])
    return out
