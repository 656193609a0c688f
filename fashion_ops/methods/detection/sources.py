"""Where garments' boxes come from: a detector, the ground truth, or a file of COCO results.

Each source answers ``boxes(image_ids)`` with a list for each image, best first, so that whatever
needs boxes needs not know which one it has.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import pandas as pd

from fashion_ops.methods.parts.boxes import Box, Boxed
from fashion_ops.taxonomy import NUM_CATEGORIES

CHUNK = 64  # images read at a time


class Detects(Protocol):
    """CenterNet's ``Detector``, ``BoxDetector``, and whatever else finds garments in images."""

    def detect(
        self, images: list[np.ndarray], score_threshold: float | None = None
    ) -> Sequence[Sequence[Boxed]]:
        """Garments of each image, best first."""
        ...


class BoxSource(Protocol):
    """Boxes by image."""

    def boxes(self, image_ids: Sequence[int]) -> Sequence[Sequence[Boxed]]:
        """Garments of each image, best first; pixels of the image."""
        ...


@dataclass(frozen=True)
class DetectedBoxes:
    """Boxes that a detector finds.

    Attributes:
        detector: CenterNet's or this folder's.
        read_image: image id -> RGB uint8 (H, W, 3).
        score_threshold: garments below are left out; None takes the detector's own.
    """

    detector: Detects
    read_image: Callable[[int], np.ndarray]
    score_threshold: float | None = None

    def boxes(self, image_ids: Sequence[int]) -> list[Sequence[Boxed]]:
        """Garments of each image, best first."""
        out: list[Sequence[Boxed]] = []
        for start in range(0, len(image_ids), CHUNK):
            images = [self.read_image(i) for i in image_ids[start : start + CHUNK]]
            out += self.detector.detect(images, self.score_threshold)
        return out


@dataclass(frozen=True)
class KnownBoxes:
    """Boxes that are known already, by image id; images without garments have an empty list."""

    known: dict[int, list[Box]]

    def boxes(self, image_ids: Sequence[int]) -> list[list[Box]]:
        """Garments of each image, best first.

        Raises:
            ValueError: an image that the source does not know.
        """
        unknown = [i for i in image_ids if i not in self.known]
        if unknown:
            raise ValueError(
                f"image id {unknown[0]} is not among the {len(self.known)} images with known boxes"
            )
        return [self.known[i] for i in image_ids]


def true_boxes(images: pd.DataFrame, garments: pd.DataFrame) -> KnownBoxes:
    """The ground truth, each with score 1.

    Args:
        images: of the catalog; may be several splits'.
        garments: theirs.

    Raises:
        ValueError: a garment on an image that is not in ``images``, or an empty box.
    """
    known: dict[int, list[Box]] = {int(i): [] for i in images["image_id"]}
    columns = (garments[c] for c in ("garment_id", "image_id", "category_id", "box"))
    for garment_id, image_id, category_id, box in zip(*columns, strict=True):
        where = f"garment {garment_id}"
        if int(image_id) not in known:
            raise ValueError(f"{where}: image id {image_id} is not among the {len(known)} images")
        known[int(image_id)].append(Box(_not_empty(where, box), 1.0, int(category_id)))
    return KnownBoxes(known)


def boxes_from_file(path: Path, images: pd.DataFrame) -> KnownBoxes:
    """Boxes of a COCO results file: image_id, category_id, bbox (x, y, width, height), score.

    What reaches over an image's border is cut off there.

    Args:
        path: the file, with the source's image ids.
        images: images of one split of the catalog.

    Raises:
        ValueError: several splits, not such a file, an unknown image or category, a score that is no
            number, a box that is empty or wholly outside of its image.
    """
    splits = sorted(images["split"].unique())
    if len(splits) > 1:
        raise ValueError(f"{path}: images of one split expected, got {', '.join(splits)}")
    by_id = {
        int(coco_id): (int(image_id), int(width), int(height))
        for coco_id, image_id, width, height in zip(
            *(images[c] for c in ("coco_id", "image_id", "width", "height")), strict=True
        )
    }
    known: dict[int, list[Box]] = {image_id: [] for image_id, _, _ in by_id.values()}
    for where, record in _results(path):
        if record["image_id"] not in by_id:
            raise ValueError(
                f"{where}: image_id {record['image_id']!r} is not among the {len(by_id)} images "
                f"of split {splits[0] if splits else '(none)'}"
            )
        image_id, width, height = by_id[record["image_id"]]
        category_id = record["category_id"]
        if not isinstance(category_id, int) or not 1 <= category_id <= NUM_CATEGORIES:
            raise ValueError(f"{where}: category_id is {category_id!r}, must be 1 to {NUM_CATEGORIES}")
        x, y, w, h = _numbers(where, "bbox", record["bbox"], 4)
        (score,) = _numbers(where, "score", [record["score"]], 1)
        box = _not_empty(where, np.array([x, y, x + w, y + h]))
        inside = np.clip(box, 0, [width - 1, height - 1] * 2).astype(np.float32)
        if not (inside[2:] > inside[:2]).all():
            raise ValueError(
                f"{where}: bbox {record['bbox']} lies outside of its image, {width} x {height}"
            )
        known[image_id].append(Box(inside, score, category_id))
    for found in known.values():
        found.sort(key=lambda b: -b.score)
    return KnownBoxes(known)


def _results(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What to call each record in an error, and the record."""
    try:
        data = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(data, list):
        raise ValueError(f"{path}: not a COCO result file (a list of results)")
    for n, record in enumerate(data):
        where = f"{path}: result {n}"
        names = ("image_id", "category_id", "bbox", "score")
        missing = [k for k in names if not isinstance(record, dict) or k not in record]
        if missing:
            raise ValueError(f"{where}: no {missing[0]}; each result needs {', '.join(names)}")
        yield where, record


def _numbers(where: str, name: str, values: Any, count: int) -> list[float]:
    real = isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v) for v in values
    )
    if not real or len(values) != count:
        raise ValueError(f"{where}: {name} is {values!r}, must be {count} finite number(s)")
    return [float(v) for v in values]


def _not_empty(where: str, box: np.ndarray) -> np.ndarray:
    box = np.asarray(box, np.float32)
    if not (box[2:] > box[:2]).all():
        raise ValueError(f"{where}: the box x1, y1, x2, y2 = {box.tolist()} is empty")
    return box
