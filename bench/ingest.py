"""Ingest against the published DeepFashion2-to-COCO converter, same files, one run.

The peer is written here from the converter's description: one process, ``json.load`` of each label
file, PIL opens the image for its size, 294 keypoint slots an item, one ``json.dump`` at the end. Ours
reads labels and sizes only (``copy_images: false``) and checks everything; starting its processes is
part of the measured time. They import this file again, so functions import heavy modules themselves.

    python -m bench.ingest [--images 16000] [--workers 2]
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
from PIL import Image

from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS

SIZE = (468, 624)
VARIANTS = 32


def write_data(root: Path, images: int) -> None:
    """Write a synthetic train split in the released layout: 1.6 items an image, as in DeepFashion2."""
    import cv2

    rng = np.random.default_rng(0)
    (root / "train" / "image").mkdir(parents=True)
    (root / "train" / "annos").mkdir()
    ramp = np.linspace(0, 255, SIZE[0] * SIZE[1] * 3).reshape(SIZE[1], SIZE[0], 3).astype(np.uint8)
    encoded = [
        cv2.imencode(".jpg", np.roll(ramp, 20 * i, axis=1))[1].tobytes() for i in range(VARIANTS)
    ]
    labels = [_labels(rng) for _ in range(8 * VARIANTS)]
    for i in range(images):
        (root / "train" / "image" / f"{i + 1:06d}.jpg").write_bytes(encoded[i % VARIANTS])
        (root / "train" / "annos" / f"{i + 1:06d}.json").write_bytes(labels[i % len(labels)])


def _labels(rng: np.random.Generator) -> bytes:
    counts = np.array([c.train_count for c in CATEGORIES], float)
    content: dict[str, object] = {"source": "user", "pair_id": int(rng.integers(10000))}
    for number in range(1, 2 + int(rng.random() < 0.6)):
        category = CATEGORIES[int(rng.choice(len(CATEGORIES), p=counts / counts.sum()))]
        n = category.num_landmarks
        points = np.column_stack([rng.integers(10, 460, (n, 2)), rng.integers(0, 3, n)])
        points[points[:, 2] == 0] = 0
        content[f"item{number}"] = {
            "segmentation": [
                rng.integers(10, 460, 2 * k).tolist() for k in (n, n // 3 + 3, n // 3 + 3)
            ],
            "scale": 2,
            "viewpoint": 2,
            "zoom_in": 1,
            "landmarks": points.ravel().tolist(),
            "style": 1,
            "bounding_box": [5, 5, 462, 600],
            "category_id": category.id,
            "occlusion": 1,
            "category_name": category.label,
        }
    return orjson.dumps(content)


def convert(root: Path, target: Path) -> int:
    """The peer; returns the number of converted items."""
    names = [f"{name}" for name in range(1, NUM_LANDMARKS + 1)]
    data: dict[str, list] = {"images": [], "annotations": [], "categories": []}
    for c in CATEGORIES:
        data["categories"].append({"id": c.id, "name": c.coco_name, "keypoints": names, "skeleton": []})
    for path in sorted((root / "train" / "annos").iterdir()):
        with path.open() as file:
            content = json.load(file)
        image = Image.open(root / "train" / "image" / f"{path.stem}.jpg")
        width, height = image.size
        image.close()
        number = int(path.stem)
        data["images"].append(
            {"id": number, "file_name": f"{path.stem}.jpg", "width": width, "height": height}
        )
        for key, item in content.items():
            if key in ("source", "pair_id"):
                continue
            x1, y1, x2, y2 = item["bounding_box"]
            slots = np.zeros((NUM_LANDMARKS, 3))
            landmarks = np.array(item["landmarks"]).reshape(-1, 3)
            slots[CATEGORIES[item["category_id"] - 1].slots] = landmarks
            data["annotations"].append(
                {
                    "id": len(data["annotations"]) + 1,
                    "image_id": number,
                    "category_id": item["category_id"],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "style": item["style"],
                    "pair_id": content["pair_id"],
                    "num_keypoints": int((landmarks[:, 2] > 0).sum()),
                    "keypoints": slots.ravel().tolist(),
                    "segmentation": item["segmentation"],
                }
            )
    with target.open("w") as file:
        json.dump(data, file)
    return len(data["annotations"])


def _clock() -> tuple[float, float]:
    """Wall time, and processor time of this process and its children, in seconds."""
    used = os.times()
    return time.perf_counter(), used.user + used.system + used.children_user + used.children_system


def compare(images: int, workers: int) -> float:
    """Time both on the same files, print one line and return the ratio of wall times.

    Raises:
        RuntimeError: the numbers of items differ, or records were quarantined.
    """
    from fashion_ops.catalog.ingest import DataSet, ingest

    with tempfile.TemporaryDirectory() as scratch:
        clocks = []
        # A few images first, so that imports are not timed.
        for name, count in (("warm", 8), ("timed", images)):
            root, folder = Path(scratch, name, "raw"), Path(scratch, name, "catalog")
            write_data(root, count)
            folder.mkdir()
            os.sync()  # so that the first reader does not pay for what was just written
            for path in root.rglob("*.*"):
                path.read_bytes()
            clocks = [_clock()]
            data_set = DataSet("deepfashion2", root, path_prefix="../raw")
            totals = ingest([data_set], folder, shard_mb=128, workers=workers)
            clocks.append(_clock())
            items = convert(root, Path(scratch, name, "coco.json"))
            clocks.append(_clock())
    if totals.garments.total() != items or totals.quarantined:
        raise RuntimeError(f"{items} items converted, {totals.garments.total()} ingested")
    (ours, our_work), (theirs, their_work) = np.diff(clocks, axis=0)
    print(
        f"ingest, labels and sizes of {images} images, {items} garments: converter "
        f"{theirs:.2f} s, ours {ours:.2f} s on {workers} processes: {theirs / ours:.1f}x "
        f"(processor time {their_work:.2f} s against {our_work:.2f} s)"
    )
    return float(theirs / ours)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--images", type=int, default=16000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    compare(arguments.images, arguments.workers)
