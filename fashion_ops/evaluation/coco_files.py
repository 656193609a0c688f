"""Read COCO annotation and result files from any source, and score one against the other.

Fields mean what they mean to ``ingest`` (``catalog.sources.coco_fields``). ``score_files`` answers
whenever stock pycocotools does, with its numbers: valid files are scored by ``oks``, all others by
pycocotools itself, with a warning that names the record and the value. Where pycocotools gives no
answer either, that sentence is the error.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.sources.base import parse_exact, parse_json
from fashion_ops.catalog.sources.coco_fields import category_names, is_crowd, without_keypoints
from fashion_ops.evaluation.instances import Detections, GroundTruth, SubmittedPoints
from fashion_ops.evaluation.official import official_scores
from fashion_ops.evaluation.oks import STATS, score_landmarks
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS

_OURS = tuple(c.id for c in CATEGORIES)
_WIDTH = 3 * NUM_LANDMARKS
_MAX_NUMBER = 1 << 53  # larger integers are no exact floats
_MAX_COORDINATE = 10**9  # squares of larger integers overflow in pycocotools
_NEEDED = ("iscrowd", "num_keypoints", "area")  # pycocotools gives no answer without them


def score_files(annotations: Path, predictions: Path) -> dict[str, Any]:
    """Compute the official landmark AP of a result file.

    Returns:
        ``stats``, the ten numbers in the order of ``stats_order``; ``per_category_AP`` by category id
        as text; ``category_names``, those of the file, likewise. AP is -1 where there is no ground
        truth.

    Raises:
        ValueError: a file can't be read, or a record in it is wrong and stops pycocotools.
    """
    data = _load(annotations)
    try:
        truth = _ground_truth(annotations, data)
        detections = read_results(predictions, truth)
        _check_needed(annotations, data)
        if not len(detections.score):
            raise ValueError(f"{predictions}: holds no results; the official evaluator scores none")
        scores = score_landmarks(truth, detections)
        stats, per_category = scores.stats, scores.per_category
    except ValueError as fault:
        stats, per_category = _official(annotations, predictions, fault)
    listed = data.get("categories") if isinstance(data, dict) else None
    rows = listed if isinstance(listed, list) else []
    names = category_names(c for c in rows if isinstance(c, Mapping))
    return {
        "stats": [stats[name] for name in STATS],
        "stats_order": list(STATS),
        "per_category_AP": {_id_text(c): ap for c, ap in per_category.items()},
        "category_names": {_id_text(c): names.get(c, "") for c in per_category},
    }


def _official(
    annotations: Path, predictions: Path, fault: ValueError
) -> tuple[dict[str, float], Mapping[Any, float]]:
    """What pycocotools gives for files that have a fault.

    Raises:
        ValueError: nothing; this is the fault.
    """
    try:
        # As pycocotools reads them: with all digits of integers.
        files = (parse_exact(path.read_bytes()) for path in (annotations, predictions))
        answer = official_scores(*files)
    except Exception:
        raise fault from None
    warnings.warn(f"{fault}. Scored by pycocotools, which reads it all the same", stacklevel=3)
    return answer


def _id_text(category_id: object) -> str:
    if isinstance(category_id, float) and category_id.is_integer():
        return str(int(category_id))
    return str(category_id)


def _check_needed(path: Path, data: dict[str, Any]) -> None:
    """Refuse a file without the fields that pycocotools needs, although their values are known."""
    if not data.get("categories"):
        raise ValueError(
            f"{path}: categories is missing; the official evaluator needs the list, with the id of each"
        )
    for record in _records(path, "annotation", data["annotations"]):
        for name in _NEEDED:
            if record.values.get(name) is None:
                raise record.error(f"{name} is missing; the official evaluator needs it")


def read_annotations(path: Path) -> GroundTruth:
    """Read ground truth from a COCO annotation file with 294 keypoints.

    Missing fields have these values: ``iscrowd`` 0, ``area`` that of the box, ``num_keypoints`` the
    number of labelled keypoints, ``categories`` the 13 of DeepFashion2.

    Raises:
        ValueError: the file can't be read or is no such file, or a record in it is wrong.
    """
    return _ground_truth(path, _load(path))


def _ground_truth(path: Path, data: Any) -> GroundTruth:
    if not isinstance(data, dict) or not all(
        isinstance(data.get(k), list) for k in ("images", "annotations")
    ):
        raise ValueError(f"{path}: not a COCO annotation file (an object with images and annotations)")
    image_ids = [r.integer("id") for r in _records(path, "image", data["images"])]
    known = set(image_ids)
    if len(known) != len(image_ids):
        twice = next(i for i in image_ids if image_ids.count(i) > 1)
        raise ValueError(f"{path}: image id {twice} appears twice; ids must be unique")
    listed = data.get("categories") or [{"id": c.id} for c in CATEGORIES]
    if not isinstance(listed, list):
        raise ValueError(f"{path}: categories is {_short(listed)}, expected a list")
    category_ids = sorted({r.integer("id") for r in _records(path, "category", listed)})
    known_categories = sorted({*category_ids, *_OURS})
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
        categories[n] = record.category("category_id", known_categories)
        if not record.by_rule(without_keypoints):
            keypoints[n] = record.numbers("keypoints", _WIDTH)
        boxes[n] = record.numbers("bbox", 4)
        area[n] = record.size("area") if "area" in record.values else boxes[n, 2] * boxes[n, 3]
        crowd[n] = record.by_rule(is_crowd)
        labelled = (keypoints[n, 2::3] > 0).sum()
        if "num_keypoints" in record.values:
            labelled = record.number("num_keypoints")
        ignored[n] = crowd[n] or labelled == 0
    if 0 in seen:
        warnings.warn(
            f"{path}: annotation {seen[0]} has id 0; the official evaluator never counts it as found. "
            "Ids must start at 1",
            stacklevel=2,
        )
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
    known_categories = sorted({*truth.category_ids.tolist(), *_OURS})
    with_boxes = False
    for n, record in enumerate(_records(path, "result", data)):
        if n == 0:
            with_boxes = record.values.get("bbox", []) != []
            if "caption" in record.values or ("segmentation" in record.values and not with_boxes):
                raise record.error("has a caption, or a segmentation but no bbox; expected neither")
        images[n] = image = record.integer("image_id")
        if image not in known_images:
            raise record.error(f"image_id {image} is unknown to the annotations")
        categories[n] = record.category("category_id", known_categories)
        score[n] = record.number("score")
        keypoints[n] = record.numbers("keypoints", _WIDTH)
        if with_boxes:
            box_area[n] = np.prod(record.numbers("bbox", 4)[2:])
    points = SubmittedPoints(keypoints.reshape(-1, NUM_LANDMARKS, 3))
    return Detections(images, categories, score, box_area if with_boxes else points.area(), points)


def _load(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except Refused as refused:
        mend = "correct the file, or write it again"
        raise ValueError(f"{path}: not JSON: {refused.value}; {mend}") from None


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

    def size(self, key: str) -> float:
        return float(self._value(key, lambda v: _finite(v) and v >= 0, "a number of at least 0"))

    def category(self, key: str, known: list[int]) -> int:
        number = self.integer(key)
        if number not in known:
            raise self.error(f"{key} {number} is unknown; it must be {_ids(known)}")
        return number

    def by_rule(self, rule: Callable[[Mapping[str, Any]], bool]) -> bool:
        try:
            return rule(self.values)
        except Refused as refused:
            raise self.error(str(refused.value)) from None

    def numbers(self, key: str, width: int) -> np.ndarray:
        values = self._value(key, lambda v: isinstance(v, list), f"{width} numbers")
        if len(values) != width:
            raise self.error(f"{key} has {len(values)} numbers, expected {width}")
        out = np.full(width, np.nan)
        if set(map(type, values)) <= {int, float}:
            with contextlib.suppress(OverflowError):
                out = np.array(values, float)
        if not (np.abs(out) <= _MAX_COORDINATE).all():
            bad = next(i for i, v in enumerate(values) if not _finite(v, _MAX_COORDINATE))
            expected = f"a finite number, at most {_MAX_COORDINATE:g}"
            raise self.error(f"{key}[{bad}] is {_short(values[bad])}, expected {expected}")
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


def _finite(value: Any, limit: int = _MAX_NUMBER) -> bool:
    return type(value) in (int, float) and abs(value) <= limit


def _ids(known: list[int]) -> str:
    whole = known == list(range(1, len(known) + 1))
    return f"1 to {len(known)}" if whole else _short(known)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
