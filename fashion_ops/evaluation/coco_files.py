"""Read COCO annotation and result files from any source, and score one against the other.

Every fault is an error that names the file, the record and the value. Values that pycocotools accepts
and that spoil its numbers are refused too: NaN coordinates or scores (there a NaN similarity counts as
a match), and annotation ids used twice.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.evaluation.instances import Detections, GroundTruth, SubmittedPoints
from fashion_ops.evaluation.oks import STATS, score_landmarks
from fashion_ops.reading import parse_json
from fashion_ops.taxonomy import CATEGORIES, NUM_CATEGORIES, NUM_LANDMARKS

_WIDTH = 3 * NUM_LANDMARKS


def score_files(annotations: Path, predictions: Path) -> dict[str, Any]:
    """Compute the official landmark AP of a result file.

    Returns:
        ``stats``, the ten numbers in the order of ``stats_order``, and ``per_category_AP`` by category
        id as text; -1 where there is no ground truth.

    Raises:
        ValueError: a file can't be read or a record in it is wrong.
    """
    truth = read_annotations(annotations)
    scores = score_landmarks(truth, read_results(predictions, truth))
    return {
        "stats": [scores.stats[name] for name in STATS],
        "stats_order": list(STATS),
        "per_category_AP": {str(c): ap for c, ap in scores.per_category.items()},
    }


def read_annotations(path: Path) -> GroundTruth:
    """Read ground truth from a COCO annotation file with 294 keypoints.

    Raises:
        ValueError: the file can't be read or is no such file, or a record in it is wrong.
    """
    data = _load(path)
    if not isinstance(data, dict) or not all(
        isinstance(data.get(k), list) for k in ("images", "annotations")
    ):
        raise ValueError(f"{path}: not a COCO annotation file (an object with images and annotations)")
    image_ids = [r.integer("id") for r in _records(path, "image", data["images"])]
    known = set(image_ids)
    if len(known) != len(image_ids):
        twice = next(i for i in image_ids if image_ids.count(i) > 1)
        raise ValueError(f"{path}: image id {twice} appears twice; ids must be unique")
    count = len(data["annotations"])
    ids, image, categories = (np.zeros(count, np.int64) for _ in range(3))
    boxes, area = np.zeros((count, 4)), np.zeros(count)
    crowd, ignored = np.zeros(count, bool), np.zeros(count, bool)
    keypoints = np.zeros((count, _WIDTH))
    seen: dict[int, int] = {}
    for n, record in enumerate(_records(path, "annotation", data["annotations"])):
        ids[n] = identity = record.integer("id")
        if seen.setdefault(identity, n) != n:
            raise record.error(f"id {identity} is also that of annotation {seen[identity]}")
        image[n] = image_id = record.integer("image_id")
        if image_id not in known:
            raise record.error(f"image_id {image_id} is not among its {len(known)} images")
        categories[n] = record.category("category_id")
        keypoints[n] = record.numbers("keypoints", _WIDTH)
        boxes[n] = record.numbers("bbox", 4)
        area[n] = record.number("area") if "area" in record.values else boxes[n, 2] * boxes[n, 3]
        crowd[n] = bool(record.values.get("iscrowd", 0))
        labelled = record.values.get("num_keypoints", (keypoints[n, 2::3] > 0).any())
        ignored[n] = crowd[n] or not labelled
    if 0 in seen:
        warnings.warn(
            f"{path}: annotation {seen[0]} has id 0; the official evaluator never counts it as found. "
            "Ids must start at 1",
            stacklevel=2,
        )
    listed = data.get("categories") or [{"id": c.id} for c in CATEGORIES]
    category_ids = sorted({r.category("id") for r in _records(path, "category", listed)})
    return GroundTruth(
        image_ids=np.array(sorted(known), np.int64),
        category_ids=np.array(category_ids, np.int64),
        ids=ids,
        image=image,
        category=categories,
        boxes=boxes,
        area=area,
        crowd=crowd,
        ignored=ignored,
        keypoints=keypoints.reshape(count, NUM_LANDMARKS, 3),
    )


def read_results(path: Path, truth: GroundTruth) -> Detections:
    """Read predictions from a COCO result file: image_id, category_id, 882 keypoints, score.

    As in pycocotools, the area of a result is that of its ``bbox`` when the first record has one,
    otherwise that of the rectangle around its keypoints.

    Raises:
        ValueError: the file can't be read or is no such file, or a record in it is wrong.
    """
    data = _load(path)
    if not isinstance(data, list):
        raise ValueError(f"{path}: not a COCO result file (a list of results)")
    images, categories = np.zeros(len(data), np.int64), np.zeros(len(data), np.int64)
    score, box_area = np.zeros(len(data)), np.zeros(len(data))
    keypoints = np.zeros((len(data), _WIDTH))
    known_images = set(truth.image_ids.tolist())
    with_boxes = False
    for n, record in enumerate(_records(path, "result", data)):
        with_boxes = bool(record.values.get("bbox")) if n == 0 else with_boxes
        images[n] = image = record.integer("image_id")
        if image not in known_images:
            raise record.error(f"image_id {image} is unknown to the annotations")
        categories[n] = record.category("category_id")
        score[n] = record.number("score")
        keypoints[n] = record.numbers("keypoints", _WIDTH)
        if with_boxes:
            box_area[n] = np.prod(record.numbers("bbox", 4)[2:])
    points = SubmittedPoints(keypoints.reshape(-1, NUM_LANDMARKS, 3))
    return Detections(images, categories, score, box_area if with_boxes else points.area(), points)


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    return parse_json(data, str(path))  # also NaN and Infinity, so that the record can be named


@dataclass(frozen=True)
class _Record:
    """One object of a file; its methods read a checked value or raise an error that names it."""

    name: str
    values: dict[str, Any]

    def error(self, message: str) -> ValueError:
        return ValueError(f"{self.name}: {message}")

    def integer(self, key: str) -> int:
        return int(self._value(key, lambda v: _finite(v) and v == int(v), "a whole number"))

    def number(self, key: str) -> float:
        return float(self._value(key, _finite, "a finite number"))

    def category(self, key: str) -> int:
        number = self.integer(key)
        if not 1 <= number <= NUM_CATEGORIES:
            raise self.error(f"{key} {number} is unknown; it must be 1 to {NUM_CATEGORIES}")
        return number

    def numbers(self, key: str, width: int) -> np.ndarray:
        values = self._value(key, lambda v: isinstance(v, list), f"{width} numbers")
        if len(values) != width:
            raise self.error(f"{key} has {len(values)} numbers, expected {width}")
        try:
            out = np.array(values, float)
        except (TypeError, ValueError):
            out = np.full(width, np.nan)
        if not np.isfinite(out).all():
            bad = next(i for i, v in enumerate(values) if not _finite(v))
            raise self.error(f"{key}[{bad}] is {_short(values[bad])}, expected a finite number")
        return out

    def _value(self, key: str, is_valid: Callable[[Any], bool], expected: str) -> Any:
        if key not in self.values:
            raise self.error(f"{key} is missing; expected {expected}")
        if not is_valid(self.values[key]):
            raise self.error(f"{key} is {_short(self.values[key])}, expected {expected}")
        return self.values[key]


def _records(path: Path, kind: str, values: list[Any]) -> Iterator[_Record]:
    for n, value in enumerate(values):
        if not isinstance(value, dict):
            raise ValueError(f"{path}: record {n} is {_short(value)}, expected an object")
        yield _Record(f"{path}: {kind} {n}", value)


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
