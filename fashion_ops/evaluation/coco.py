"""Catalog and prediction tables as COCO ground truth and COCO results, in memory and as files.

Tables hold one split. Images are named by their id in the source (``coco_id``), so that exported
results can be scored against the annotation file of the data set. Ground truth follows the official
converter: ``area`` is that of the box, 294 keypoints, zeros outside the slots of the category.
``coco_files`` reads files that others wrote.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
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


def annotations_dict(images: pd.DataFrame, garments: pd.DataFrame) -> dict[str, Any]:
    """COCO ground truth of one split, as the official converter writes it."""
    truth = ground_truth(images, garments)
    return {
        "info": {"description": "fashion-ops catalog"},
        "licenses": [],
        "images": [
            {"id": int(i), "file_name": str(name), "width": int(w), "height": int(h)}
            for i, name, w, h in zip(
                images["coco_id"], images["file_name"], images["width"], images["height"], strict=True
            )
        ],
        "categories": [
            {
                "id": c.id,
                "name": c.coco_name,
                "supercategory": "clothes",
                "keypoints": [str(k + 1) for k in range(NUM_LANDMARKS)],
                "skeleton": [],
            }
            for c in CATEGORIES
        ],
        "annotations": [
            {
                "id": int(truth.ids[row]),
                "image_id": int(truth.image[row]),
                "category_id": int(truth.category[row]),
                "bbox": truth.boxes[row].tolist(),
                "area": float(truth.area[row]),
                "iscrowd": 0,
                "style": int(style),
                "num_keypoints": int((truth.keypoints[row, :, 2] > 0).sum()),
                "keypoints": truth.keypoints[row].ravel().tolist(),
                "segmentation": [np.asarray(p, float).ravel().tolist() for p in polygons],
            }
            for row, (style, polygons) in enumerate(
                zip(garments["style"], garments["polygons"], strict=True)
            )
        ],
    }


def results(predictions: pd.DataFrame, images: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a COCO keypoint result per prediction: image_id, category_id, 882 keypoints, score."""
    arrays = detections(predictions, images)
    visibility = np.ones((NUM_LANDMARKS, 1))
    for row in range(len(arrays.score)):
        points = arrays.points.take(np.array([row]), slice(0, NUM_LANDMARKS))[0]
        yield {
            "image_id": int(arrays.image[row]),
            "category_id": int(arrays.category[row]),
            "keypoints": np.hstack((points, visibility)).ravel().tolist(),
            "score": float(arrays.score[row]),
        }


def write_annotations(path: Path, images: pd.DataFrame, garments: pd.DataFrame) -> None:
    """Write COCO ground truth of one split."""
    path.write_bytes(orjson.dumps(annotations_dict(images, garments)))


def write_results(path: Path, predictions: pd.DataFrame, images: pd.DataFrame) -> None:
    """Write COCO results record by record, so that a million of them fit into memory."""
    with path.open("wb") as file:
        file.write(b"[")
        for number, record in enumerate(results(predictions, images)):
            file.write(b",\n" if number else b"\n")
            file.write(orjson.dumps(record))
        file.write(b"\n]\n")


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
