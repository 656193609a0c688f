"""Tables of a small catalog of one split, and predictions for it."""

import numpy as np
import pandas as pd

from fashion_ops.catalog import schemas
from fashion_ops.taxonomy import category


def make_images(count: int) -> pd.DataFrame:
    numbers = np.arange(count)
    frame = pd.DataFrame(
        {
            "image_id": 1000 + numbers,
            "split": "validation",
            "file_name": [f"{n:06d}.jpg" for n in numbers],
            "coco_id": 10 + numbers[::-1] * 3,  # another order than image_id
            "width": np.int32(400),
            "height": np.int32(500),
            "source": "shop",
            "pair_id": -1,
            "sha256": "",
            "shard": np.int32(-1),
            "row": np.int32(-1),
            "path": "",
        }
    )
    return schemas.IMAGES.validate(frame)


def make_garments(images: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for image_id in images["image_id"]:
        for item in range(rng.integers(1, 4)):
            kind = int(rng.choice([1, 3, 8, 9, 13]))
            corner, size = rng.uniform(0, 100, 2), rng.uniform(50, 300, 2)
            visibility = rng.choice(3, category(kind).num_landmarks, p=(0.2, 0.2, 0.6))
            points = (corner + rng.random((len(visibility), 2)) * size) * (visibility > 0)[:, None]
            rows.append(
                {
                    "garment_id": len(rows),
                    "image_id": image_id,
                    "split": "validation",
                    "item": f"item{item + 1}",
                    "category_id": kind,
                    "box": np.hstack((corner, corner + size)).astype(np.float32),
                    "landmarks": np.column_stack((points, visibility)).astype(np.float32).ravel(),
                    "num_labelled": int((visibility > 0).sum()),
                    "scale": 1,
                    "occlusion": 1,
                    "zoom_in": 1,
                    "viewpoint": 2,
                    "style": 0,
                    "polygons": [np.float32([0, 0, 1, 0, 1, 1])],
                }
            )
    frame = pd.DataFrame(rows)
    small = dict.fromkeys(("category_id", "scale", "occlusion", "zoom_in", "viewpoint"), "int8")
    return schemas.GARMENTS.validate(frame.astype({**small, "num_labelled": "int16"}))


def make_predictions(garments: pd.DataFrame, rng: np.random.Generator, noise: float) -> pd.DataFrame:
    rows = []
    for garment in garments.itertuples():
        landmarks = np.reshape(garment.landmarks, (-1, 3)).copy()
        landmarks[:, :2] += rng.normal(0, noise, (len(landmarks), 2))
        landmarks[:, 2] = 1
        rows.append(
            {
                "image_id": garment.image_id,
                "garment_id": garment.garment_id,
                "category_id": garment.category_id,
                "score": np.float32(rng.random()),
                "box": (garment.box + rng.normal(0, noise, 4)).astype(np.float32),
                "landmarks": landmarks.astype(np.float32).ravel(),
                "deviations": np.zeros(0, np.float32),
            }
        )
    return schemas.PREDICTIONS.validate(pd.DataFrame(rows).astype({"category_id": "int8"}))
