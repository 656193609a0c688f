"""Labelled photos of several sets, read by the code of ``ingest``, with ids that differ between sets.

A set is a COCO file beside its images, or a JSON list of photos with one garment each: ``file``
(relative to the list), ``width``, ``height``, ``category``, ``box`` (x1, y1, x2, y2) and ``landmarks``,
those that are plain to see by their names in the taxonomy, pixels.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.catalog.ingest import DataSet, ingest
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.errors.reading import read_json
from fashion_ops.steps.aggregate import group_landmarks
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES, Grouping, category

STRIDE = 10**9  # between the ids of two sets; ids below it are of the workspace's catalog
_KEYS = ("file", "width", "height", "category", "box", "landmarks")


@dataclass(frozen=True)
class Photos:
    """Photos with at least one garment with labelled landmarks.

    Attributes:
        images: ``schemas.IMAGES`` of one split, and the name of each photo's ``set``.
        garments: ``schemas.GARMENTS`` with labelled landmarks on them, in the order of ``images``.
        refused: number of labels that ``ingest`` refuses.
        catalogs: of the workspace (None where it is not needed), and of each set.
    """

    images: pd.DataFrame
    garments: pd.DataFrame
    refused: int
    catalogs: tuple[Catalog | None, ...]

    @property
    def sets(self) -> list[str]:
        """Names of the sets, in the order of the files."""
        return list(dict.fromkeys(self.images["set"]))

    def read(self, image_id: int) -> np.ndarray:
        """A photo, or an image of the workspace's catalog, as RGB uint8 (H, W, 3)."""
        catalog = self.catalogs[image_id // STRIDE]
        assert catalog is not None
        return catalog.image(image_id % STRIDE)

    def on(self, image_ids: np.ndarray) -> pd.DataFrame:
        """The garments on some photos."""
        return self.garments[self.garments["image_id"].isin(image_ids)]


def training_garments(rows: pd.DataFrame, grouping: Grouping) -> TrainingGarments:
    """Make arrays for training from ``schemas.GARMENTS`` on photos."""
    kinds = rows["category_id"].to_numpy(np.int64)
    flat = np.concatenate([np.asarray(points, float) for points in rows["landmarks"]]).reshape(-1, 3)
    return TrainingGarments(
        image_id=rows["image_id"].to_numpy(np.int64),
        category_id=kinds,
        boxes=np.stack(rows["box"].to_list()).astype(np.float32),
        landmarks=group_landmarks(grouping, kinds, flat),
        soft_labels=np.zeros((len(rows), 0), np.float32),
        real=np.ones(len(rows), bool),
    )


def read_photos(files: Sequence[Path], scratch: Path, drawn: Catalog | None = None) -> Photos:
    """Read sets of labelled photos.

    Args:
        files: of labels, one a set; see above.
        scratch: existing folder that lives as long as the photos are read.
        drawn: catalog of the workspace, whose images ``Photos.read`` reads, too.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is of neither format, or holds no labelled landmark.
    """
    images, garments, catalogs, refused = [], [], [drawn], 0
    names = Counter(file.resolve().parent.name for file in files)
    for n, file in enumerate(files, 1):
        folder = scratch / f"set-{n}"
        folder.mkdir()
        content = read_json(file)
        root = file.resolve()
        if isinstance(content, list):
            root = _as_coco(file, content, scratch / f"labels-{n}")
        totals = ingest([DataSet("coco", root, None)], folder, shard_mb=128, workers=1)
        refused += totals.invalid.total()
        catalog = Catalog(folder)
        own = catalog.garments[catalog.garments["num_labelled"] > 0]
        if own.empty:
            raise ValueError(
                f"{file}: no garment with a labelled landmark; label some, or leave it out"
            )
        pictures = catalog.images[catalog.images["image_id"].isin(own["image_id"])]
        parent = file.resolve().parent.name
        name = parent if names[parent] == 1 else f"{parent}/{file.stem}"
        shift = n * STRIDE
        ids = pictures["image_id"] + shift
        images.append(pictures.assign(image_id=ids, coco_id=ids, split="photos", set=name))
        of_image = own["image_id"] + shift
        garments.append(own.assign(image_id=of_image, garment_id=own["garment_id"] + shift))
        catalogs.append(catalog)
    table = pd.concat(garments).sort_values("image_id", kind="stable").reset_index(drop=True)
    return Photos(pd.concat(images).reset_index(drop=True), table, refused, tuple(catalogs))


def _as_coco(file: Path, rows: list[Any], folder: Path) -> Path:
    """Write a COCO file of a list of photos into a new folder, beside links to them."""
    folder.mkdir()
    images, annotations = [], []
    for n, row in enumerate(rows, 1):
        kind, points = _checked(file, n, row)
        photo = (file.parent / row["file"]).resolve()
        link = folder / f"{n:06d}{photo.suffix}"
        link.symlink_to(photo)
        x1, y1, x2, y2 = row["box"]
        keypoints = [v for name in kind.landmark_names for v in points.get(name, (0, 0, 0))]
        sides = {"width": row["width"], "height": row["height"]}
        images.append({"id": n, "file_name": link.name, **sides})
        annotations.append(
            {
                "id": n,
                "image_id": n,
                "category_id": kind.id,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "num_keypoints": len(points),
                "keypoints": keypoints,
            }
        )
    categories = [{"id": c.id, "name": c.name} for c in CATEGORIES]
    target = folder / "labels.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    target.write_text(json.dumps(content), encoding="utf-8")
    return target


def _checked(file: Path, n: int, row: Any) -> tuple[Any, dict[str, tuple[float, float, int]]]:
    """The category of the n-th photo of a list, and its landmarks x, y, visibility by name."""
    place = f"{file}: photo {n}"
    missing = [key for key in _KEYS if not isinstance(row, dict) or key not in row]
    if missing:
        raise ValueError(f"{place}: has no {missing[0]!r}; expected {', '.join(_KEYS)}")
    if row["category"] not in CATEGORY_NAMES:
        known = ", ".join(CATEGORY_NAMES)
        raise ValueError(f"{place}: category is {row['category']!r}, must be one of {known}")
    box, landmarks = row["box"], row["landmarks"]
    if not _numbers(box, 4):
        raise ValueError(f"{place}: box is {box!r}, must be four numbers x1, y1, x2, y2")
    if not isinstance(landmarks, dict):
        raise ValueError(f"{place}: landmarks is {landmarks!r}, must be points x, y by name")
    kind = category(row["category"])
    points = {}
    for name, point in landmarks.items():
        if name not in kind.landmark_names:
            known = ", ".join(kind.landmark_names)
            raise ValueError(f"{place}: {kind.name} has no landmark {name!r}, but {known}")
        if not _numbers(point, 2):
            raise ValueError(f"{place}: {name} is {point!r}, must be two numbers x, y")
        points[name] = (point[0], point[1], 2)
    return kind, points


def _numbers(values: Any, count: int) -> bool:
    """Whether a value of JSON is a list of so many numbers."""
    plain = isinstance(values, list) and len(values) == count
    return plain and all(type(v) in (int, float) for v in values)
