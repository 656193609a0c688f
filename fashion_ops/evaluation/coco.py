"""Convert catalog and prediction tables to COCO ground truth and detections as arrays.

Tables hold one split. Images are named by their id in the source (``coco_id``), as in the annotation
file of the data set. Ground truth follows the official converter: ``area`` is that of the box, 294
keypoints, zeros outside the slots of the category. ``coco_files`` reads files.
"""

import numpy as np
import pandas as pd

from fashion_ops.evaluation.instances import CategoryPoints, Detections, GroundTruth
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS, category


def ground_truth(images: pd.DataFrame, garments: pd.DataFrame) -> GroundTruth:
    """Convert garments of one split (``schemas.IMAGES``, ``schemas.GARMENTS``) to ground truth.

    Raises:
        ValueError: more than one split, or a garment on an image that is not in ``images``.
    """
    keypoints = np.zeros((len(garments), NUM_LANDMARKS, 3))
    categories = garments["category_id"].to_numpy().astype(np.int64)
    for row, (category_id, landmarks) in enumerate(zip(categories, garments["landmarks"], strict=True)):
        keypoints[row, category(int(category_id)).slots] = np.reshape(landmarks, (-1, 3))
    boxes = _stack(garments["box"].to_list(), 4)
    boxes[:, 2:] -= boxes[:, :2]
    return GroundTruth(
        image_ids=np.sort(images["coco_id"].to_numpy()),
        category_ids=np.array([c.id for c in CATEGORIES]),
        ids=np.arange(1, len(garments) + 1),
        image=coco_ids(images, garments),
        category=categories,
        boxes=boxes,
        area=boxes[:, 2] * boxes[:, 3],
        crowd=np.zeros(len(garments), bool),
        ignored=np.logical_not((keypoints[..., 2] > 0).any(1)),
        keypoints=keypoints,
    )


def detections(predictions: pd.DataFrame, images: pd.DataFrame) -> Detections:
    """Convert predictions (``schemas.PREDICTIONS``) on images of one split to detections.

    Raises:
        ValueError: more than one split, or a prediction on an image that is not in ``images``.
    """
    categories = predictions["category_id"].to_numpy().astype(np.int64)
    kinds = [category(int(c)) for c in categories]
    padded = np.zeros((len(kinds), max(c.num_landmarks for c in CATEGORIES), 2))
    for row, (c, landmarks) in enumerate(zip(kinds, predictions["landmarks"], strict=True)):
        padded[row, : c.num_landmarks] = np.reshape(landmarks, (-1, 3))[:, :2]
    boxes = _stack(predictions["box"].to_list(), 4)
    points = CategoryPoints(
        landmarks=padded,
        first=np.array([c.slots.start for c in kinds], int),
        count=np.array([c.num_landmarks for c in kinds], int),
        center=(boxes[:, :2] + boxes[:, 2:]) / 2,
    )
    return Detections(
        image=coco_ids(images, predictions),
        category=categories,
        score=predictions["score"].to_numpy().astype(float),
        area=points.area(),
        points=points,
    )


def _stack(arrays: list[np.ndarray], width: int) -> np.ndarray:
    """Stack arrays of equal length to float64 (rows, width), also when there are none."""
    return np.stack(arrays).astype(float) if arrays else np.zeros((0, width))


def coco_ids(images: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Image ids in the source (``coco_id``) of rows with an ``image_id`` of the catalog, int64 (rows,).

    Raises:
        ValueError: ``images`` holds several splits, or lacks an image of ``rows``.
    """
    splits = images["split"].unique()
    if len(splits) > 1:
        raise ValueError(f"images of one split expected, got {', '.join(sorted(splits))}")
    known = pd.Index(np.asarray(images["image_id"]).tolist())
    at = known.get_indexer(pd.Index(rows["image_id"].tolist()))
    if (at < 0).any():
        missing = rows["image_id"].to_numpy()[at < 0][0]
        raise ValueError(f"image_id {missing} is not among the {len(known)} images of this split")
    return images["coco_id"].to_numpy()[at].astype(np.int64)
