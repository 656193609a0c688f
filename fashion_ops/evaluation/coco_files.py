"""Read COCO annotation and result files from any source, and score one against the other.

Every fault is an error that names the file, the record and the value. Values that pycocotools accepts
and that spoil its numbers are refused too: NaN coordinates or scores (there a NaN similarity counts as
a match), and annotation ids used twice.
"""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from fashion_ops.evaluation.instances import Detections, GroundTruth, SubmittedPoints
from fashion_ops.evaluation.oks import STATS, score_landmarks
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
    image_ids = [
        _integer(path, f"image {n}", r, "id") for n, r in enumerate(_records(path, data["images"]))
    ]
    known = set(image_ids)
    if len(known) != len(image_ids):
        twice = next(i for i in image_ids if image_ids.count(i) > 1)
        raise ValueError(f"{path}: image id {twice} appears twice; ids must be unique")
    count = len(data["annotations"])
    out = {name: np.zeros(count, np.int64) for name in ("ids", "image", "category")}
    boxes, area = np.zeros((count, 4)), np.zeros(count)
    crowd, ignored = np.zeros(count, bool), np.zeros(count, bool)
    keypoints = np.zeros((count, _WIDTH))
    seen: dict[int, int] = {}
    for n, record in enumerate(_records(path, data["annotations"])):
        where = f"annotation {n}"
        out["ids"][n] = identity = _integer(path, where, record, "id")
        if seen.setdefault(identity, n) != n:
            raise ValueError(
                f"{path}: {where}: id {identity} is also that of annotation {seen[identity]}"
            )
        out["image"][n] = image = _integer(path, where, record, "image_id")
        if image not in known:
            raise ValueError(f"{path}: {where}: image_id {image} is not among its {len(known)} images")
        out["category"][n] = _category(path, where, record, "category_id")
        keypoints[n] = _numbers(path, where, record, "keypoints", _WIDTH)
        boxes[n] = _numbers(path, where, record, "bbox", 4)
        area[n] = (
            _number(path, where, record, "area") if "area" in record else boxes[n, 2] * boxes[n, 3]
        )
        crowd[n] = bool(record.get("iscrowd", 0))
        ignored[n] = crowd[n] or not record.get("num_keypoints", (keypoints[n, 2::3] > 0).any())
    if 0 in seen:
        warnings.warn(
            f"{path}: annotation {seen[0]} has id 0; the official evaluator never counts it as found. "
            "Ids must start at 1",
            stacklevel=2,
        )
    listed = (
        _records(path, data["categories"])
        if data.get("categories")
        else [{"id": c.id} for c in CATEGORIES]
    )
    category_ids = sorted({_category(path, f"category {n}", r, "id") for n, r in enumerate(listed)})
    return GroundTruth(
        image_ids=np.array(sorted(known), np.int64),
        category_ids=np.array(category_ids, np.int64),
        boxes=boxes,
        area=area,
        crowd=crowd,
        ignored=ignored,
        keypoints=keypoints.reshape(count, NUM_LANDMARKS, 3),
        **out,
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
    records = _records(path, data)
    images, categories = np.zeros(len(records), np.int64), np.zeros(len(records), np.int64)
    score, keypoints = np.zeros(len(records)), np.zeros((len(records), _WIDTH))
    box_area = np.zeros(len(records))
    with_boxes = bool(records and records[0].get("bbox"))
    known_images = set(truth.image_ids.tolist())
    for n, record in enumerate(records):
        where = f"result {n}"
        images[n] = image = _integer(path, where, record, "image_id")
        if image not in known_images:
            raise ValueError(f"{path}: {where}: image_id {image} is unknown to the annotations")
        categories[n] = _category(path, where, record, "category_id")
        score[n] = _number(path, where, record, "score")
        keypoints[n] = _numbers(path, where, record, "keypoints", _WIDTH)
        if with_boxes:
            box_area[n] = np.prod(_numbers(path, where, record, "bbox", 4)[2:])
    points = SubmittedPoints(keypoints.reshape(-1, NUM_LANDMARKS, 3))
    return Detections(images, categories, score, box_area if with_boxes else points.area(), points)


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data)  # accepts NaN and Infinity, so that the record can be named
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error


def _records(path: Path, values: list[Any]) -> list[dict[str, Any]]:
    for n, value in enumerate(values):
        if not isinstance(value, dict):
            raise ValueError(f"{path}: record {n} is {_short(value)}, expected an object")
    return values


def _field(
    path: Path,
    where: str,
    record: dict[str, Any],
    name: str,
    is_valid: Callable[[Any], bool],
    expected: str,
) -> Any:
    if name not in record:
        raise ValueError(f"{path}: {where}: {name} is missing; expected {expected}")
    if not is_valid(record[name]):
        raise ValueError(f"{path}: {where}: {name} is {_short(record[name])}, expected {expected}")
    return record[name]


def _integer(path: Path, where: str, record: dict[str, Any], name: str) -> int:
    return int(
        _field(path, where, record, name, lambda v: _finite(v) and v == int(v), "a whole number")
    )


def _category(path: Path, where: str, record: dict[str, Any], name: str) -> int:
    number = _integer(path, where, record, name)
    if not 1 <= number <= NUM_CATEGORIES:
        raise ValueError(
            f"{path}: {where}: {name} {number} is unknown; it must be 1 to {NUM_CATEGORIES}"
        )
    return number


def _number(path: Path, where: str, record: dict[str, Any], name: str) -> float:
    return float(_field(path, where, record, name, _finite, "a finite number"))


def _numbers(path: Path, where: str, record: dict[str, Any], name: str, width: int) -> np.ndarray:
    values = _field(path, where, record, name, lambda v: isinstance(v, list), f"{width} numbers")
    if len(values) != width:
        raise ValueError(f"{path}: {where}: {name} has {len(values)} numbers, expected {width}")
    try:
        out = np.array(values, float)
    except (TypeError, ValueError):
        out = np.full(width, np.nan)
    if not np.isfinite(out).all():
        bad = next(i for i, v in enumerate(values) if not _finite(v))
        raise ValueError(
            f"{path}: {where}: {name}[{bad}] is {_short(values[bad])}, expected a finite number"
        )
    return out


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
