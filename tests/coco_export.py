"""Tables as COCO annotations and results, as dicts and files: input for pycocotools and for ``score``.

As the official converter writes them: images by their id in the source (``coco_id``), 294 keypoints.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS


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
