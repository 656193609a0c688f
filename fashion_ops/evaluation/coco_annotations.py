"""Read ground truth from a COCO annotation file of any size with 294 keypoints.

The file comes in by batches (``json_stream``). Of each annotation stay the fields that are used, and
its keypoints as numbers in one array. All checks follow when the file is read, in a fixed order:
images, categories, annotations, whatever order the file has them in.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.catalog.sources.coco_fields import is_crowd, without_keypoints
from fashion_ops.evaluation.coco_records import (
    OURS,
    WIDTH,
    load_unstreamed,
    pack_keypoints,
    records,
    short,
)
from fashion_ops.evaluation.instances import GroundTruth
from fashion_ops.evaluation.json_reader import Batch, NotStreamed
from fashion_ops.evaluation.json_stream import stream_object
from fashion_ops.evaluation.quick_records import exact_record, quick_records
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS

_NEEDED = ("iscrowd", "num_keypoints", "area")  # pycocotools gives no answer without them
_FIELDS = ("id", "image_id", "category_id", "keypoints", "bbox", *_NEEDED)
_PACKED = object()  # stands for keypoints that AnnotationFile.keypoints holds


@dataclass(frozen=True)
class AnnotationFile:
    """What is used of an annotation file.

    Attributes:
        path: the file.
        data: its content; ``images`` and ``annotations`` have only the fields that are used.
            Whatever is of another kind than COCO's stands here unchanged.
        keypoints: (annotations, 882) those of the annotations whose list is valid.
    """

    path: Path
    data: Any
    keypoints: np.ndarray


def load_annotations(path: Path) -> AnnotationFile:
    """Read an annotation file, unchecked.

    Raises:
        NotJson: the file can't be read, or is no JSON.
    """
    try:
        return _fields(path, stream_object(path, parse_json, quick_records))
    except NotStreamed as cause:
        data = load_unstreamed(path, cause)
    if not isinstance(data, dict):
        return AnnotationFile(path, data, np.zeros((0, WIDTH)))
    return _fields(
        path, ((k, iter([Batch(v, None)]) if isinstance(v, list) else v) for k, v in data.items())
    )


def _fields(path: Path, content: Iterable[tuple[str, Any]]) -> AnnotationFile:
    data: dict[str, Any] = {}
    keypoints = np.zeros((0, WIDTH))
    for key, value in content:
        if not isinstance(value, Iterator):
            data[key] = value
        elif key == "annotations":
            data[key] = []
            keypoints = np.zeros((0, WIDTH))
            for batch in value:
                known = len(data[key])
                keypoints.resize((known + len(batch.values), WIDTH), refcheck=False)
                packed = pack_keypoints(batch.values, batch.text, keypoints[known:])
                data[key] += [_used(batch, n, bool(is_packed)) for n, is_packed in enumerate(packed)]
        else:
            data[key] = [
                _used(b, n, False) if key == "images" else exact_record(b, n)
                for b in value
                for n in range(len(b.values))
            ]
    return AnnotationFile(path, data, keypoints)


def _used(batch: Batch, n: int, packed: bool) -> Any:
    """The fields of record n that are used; without its keypoints where these are packed."""
    record = batch.values[n] if packed else exact_record(batch, n)
    if not isinstance(record, dict):
        return record
    used = {name: record[name] for name in _FIELDS if name in record}
    return used | {"keypoints": _PACKED} if packed else used


def check_needed(file: AnnotationFile) -> None:
    """Refuse a file without the fields that pycocotools needs, although their values are known.

    Raises:
        ValueError: one is missing.
    """
    if not file.data.get("categories"):
        raise ValueError(
            f"{file.path}: categories is missing; the official evaluator needs the list, "
            "with the id of each"
        )
    for record in records(file.path, "annotation", file.data["annotations"]):
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
    return ground_truth(load_annotations(path))


def ground_truth(file: AnnotationFile) -> GroundTruth:
    """Check the content of an annotation file as ``read_annotations`` does; its array is used up."""
    path, data, keypoints = file.path, file.data, file.keypoints
    if not isinstance(data, dict) or not all(
        isinstance(data.get(k), list) for k in ("images", "annotations")
    ):
        raise ValueError(f"{path}: not a COCO annotation file (an object with images and annotations)")
    image_ids = [r.integer("id") for r in records(path, "image", data["images"])]
    known = set(image_ids)
    if len(known) != len(image_ids):
        twice = next(i for i in image_ids if image_ids.count(i) > 1)
        raise ValueError(f"{path}: image id {twice} appears twice; ids must be unique")
    listed = data.get("categories") or [{"id": c.id} for c in CATEGORIES]
    if not isinstance(listed, list):
        raise ValueError(f"{path}: categories is {short(listed)}, expected a list")
    category_ids = sorted({r.integer("id") for r in records(path, "category", listed)})
    known_categories = sorted({*category_ids, *OURS})
    count = len(data["annotations"])
    ids, image, categories = (np.zeros(count, np.int64) for _ in range(3))
    boxes, area = np.zeros((count, 4)), np.zeros(count)
    crowd, ignored = np.zeros(count, bool), np.zeros(count, bool)
    seen: dict[int, int] = {}
    for n, record in enumerate(records(path, "annotation", data["annotations"])):
        ids[n] = identity = record.integer("id")
        if seen.setdefault(identity, n) != n:
            raise record.error(f"id {identity} is also that of annotation {seen[identity]}")
        image[n] = image_id = record.integer("image_id")
        if image_id not in known:
            raise record.error(f"image_id {image_id} is not among its {len(known)} images")
        categories[n] = record.category("category_id", known_categories)
        if record.values.get("keypoints") is not _PACKED:
            without = record.by_rule(without_keypoints)
            keypoints[n] = 0 if without else record.numbers("keypoints", WIDTH)
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
