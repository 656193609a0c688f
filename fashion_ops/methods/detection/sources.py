"""Sources of garment boxes: a detector, or a file of COCO results.

Each source has a method ``boxes(image_ids)`` that returns a list for each image, best first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.sources.base import identity, parse_json
from fashion_ops.taxonomy import NUM_CATEGORIES

CHUNK = 64  # images in memory at a time


@runtime_checkable
class GarmentBox(Protocol):
    """A garment with a box, as a ``ScoredBox`` or as a CenterNet ``Detection`` with landmarks."""

    @property
    def box(self) -> np.ndarray:
        """float32 (4,) x1, y1, x2, y2 in image pixels, within the image."""
        ...

    @property
    def score(self) -> float:
        """Confidence, 0..1."""
        ...

    @property
    def category_id(self) -> int:
        """Id of the category, 1..13."""
        ...


@dataclass(frozen=True)
class ScoredBox:
    """A garment's box without landmarks; see ``GarmentBox``."""

    box: np.ndarray
    score: float
    category_id: int


@runtime_checkable
class GarmentDetector(Protocol):
    """A detector of garments, such as CenterNet's ``Detector`` or ``BoxDetector``."""

    def detect(
        self, images: list[np.ndarray], score_threshold: float | None = None
    ) -> Sequence[Sequence[GarmentBox]]:
        """Detect the garments of each image, best first.

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            score_threshold: garments with a lower score are left out; None uses the model's threshold.
        """
        ...


@runtime_checkable
class BoxSource(Protocol):
    """A source of boxes by image."""

    def boxes(self, image_ids: Sequence[int]) -> Sequence[Sequence[GarmentBox]]:
        """Return the garments of each image, best first, in pixels of the image."""
        ...


@dataclass(frozen=True)
class DetectedBoxes:
    """Boxes that a detector predicts.

    Attributes:
        detector: run on the images.
        read_image: image id to RGB uint8 (H, W, 3).
        score_threshold: garments with a lower score are left out; None uses the model's threshold.
    """

    detector: GarmentDetector
    read_image: Callable[[int], np.ndarray]
    score_threshold: float | None = None

    def boxes(self, image_ids: Sequence[int]) -> list[Sequence[GarmentBox]]:
        """Detect the garments of each image, best first."""
        garments: list[Sequence[GarmentBox]] = []
        for start in range(0, len(image_ids), CHUNK):
            images = [self.read_image(i) for i in image_ids[start : start + CHUNK]]
            garments += self.detector.detect(images, self.score_threshold)
        return garments


@dataclass(frozen=True)
class PrecomputedBoxes:
    """Boxes that were computed before, by image id; images without garments have an empty list."""

    by_image: dict[int, list[ScoredBox]]

    def boxes(self, image_ids: Sequence[int]) -> list[list[ScoredBox]]:
        """Look up the garments of each image, best first.

        Raises:
            ValueError: an image is not among those with boxes.
        """
        unknown = [i for i in image_ids if i not in self.by_image]
        if unknown:
            raise ValueError(
                f"image id {unknown[0]} is not among the {len(self.by_image)} images with known boxes"
            )
        return [self.by_image[i] for i in image_ids]


def boxes_from_file(path: Path, images: pd.DataFrame) -> PrecomputedBoxes:
    """Read a COCO results file: image_id, category_id, bbox (x, y, width, height), score.

    Boxes are clipped to the image.

    Args:
        path: of the file; its image ids are those of the source data, ``coco_id`` in the catalog.
        images: rows of one split of the catalog.

    Raises:
        ValueError: ``images`` has several splits, the file is no results file, a result has an unknown
            image or category or a score that is no number, or a box is empty or outside of its image.
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
    by_image: dict[int, list[ScoredBox]] = {image_id: [] for image_id, _, _ in by_id.values()}
    for where, record in _results(path):
        if (coco_id := identity(record["image_id"])) not in by_id:
            raise ValueError(
                f"{where}: image_id {record['image_id']!r} is not among the {len(by_id)} images "
                f"of split {splits[0] if splits else '(none)'}"
            )
        image_id, width, height = by_id[int(coco_id)]
        category_id = identity(record["category_id"])
        if not isinstance(category_id, int) or not 1 <= category_id <= NUM_CATEGORIES:
            found = record["category_id"]
            raise ValueError(f"{where}: category_id is {found!r}, must be 1 to {NUM_CATEGORIES}")
        x, y, w, h = _numbers(where, "bbox", record["bbox"], 4)
        (score,) = _numbers(where, "score", [record["score"]], 1)
        box = np.array([x, y, x + w, y + h], np.float32)
        if not (box[2:] > box[:2]).all():
            raise ValueError(f"{where}: the box x1, y1, x2, y2 = {box.tolist()} is empty")
        inside = np.clip(box, 0, [width - 1, height - 1] * 2).astype(np.float32)
        if not (inside[2:] > inside[:2]).all():
            raise ValueError(
                f"{where}: bbox {record['bbox']} lies outside of its image, {width} x {height}"
            )
        by_image[image_id].append(ScoredBox(inside, score, category_id))
    for boxes in by_image.values():
        boxes.sort(key=lambda b: -b.score)
    return PrecomputedBoxes(by_image)


def _results(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each result of a file after its name for error messages.

    Raises:
        ValueError: the file is no list of results, or a key is missing.
    """
    try:
        data = parse_json(path.read_bytes())
    except OSError as error:
        why = str(error.strerror).lower()
        raise ValueError(f"{path}: cannot be read as JSON: {why}; check evaluate.boxes") from error
    except Refused as refused:
        raise ValueError(f"{path}: cannot be read as JSON: {refused.value}; correct it") from None
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
    """Return a list of ``count`` finite numbers as floats.

    Raises:
        ValueError: ``values`` is none; the message names ``where`` and ``name``.
    """
    real = isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v) for v in values
    )
    if not real or len(values) != count:
        raise ValueError(f"{where}: {name} is {values!r}, must be {count} finite number(s)")
    return [float(v) for v in values]
