"""FiftyOne's own dataset folder: samples.json, metadata.json and data/.

After the pages "Exporting FiftyOne Datasets" and "Using FiftyOne Datasets" of FiftyOne's user guide. A
garment is a ``Keypoint`` of the field ``landmarks`` and a ``Detection`` of ``garments`` with the same
``index``; coordinates are shares of the photo's sides, a point that is not labelled is NaN. Visibility
is a list with one value a point; DeepFashion2's grades are attributes of the detection. Of a data set
made elsewhere, the only field of key points is read, and ``occluded`` (true or false a point) too.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, Field

from fashion_ops.annotation.fiftyone_metadata import metadata
from fashion_ops.annotation.files import Export, file_names
from fashion_ops.annotation.losses import Feature
from fashion_ops.annotation.photos import (
    GRADES,
    AnnotatedPhoto,
    Read,
    box_around,
    category_of,
    find,
    parsed,
    pixels,
    points_of,
    told,
    write_photo,
)
from fashion_ops.annotation.upright import as_labelled
from fashion_ops.catalog.quarantine import Reason, Refused, short
from fashion_ops.catalog.sources.base import Item, Labels, integer, parse_json, split_of

LOST: frozenset[Feature] = frozenset()
GARMENTS, LANDMARKS, OUTLINES = "garments", "landmarks", "outlines"
_NAN = {"$numberDouble": "NaN"}  # as MongoDB's extended JSON writes it


def _number(value: Any) -> Any:
    """A number of MongoDB's extended JSON; null is NaN."""
    if isinstance(value, dict) and len(value) == 1:
        (kind, text), *_ = value.items()
        if kind in ("$numberDouble", "$numberInt", "$numberLong") and isinstance(
            text, str | int | float
        ):
            return float(text)
    return math.nan if value is None else value


Number = Annotated[float, BeforeValidator(_number)]


class _Label(BaseModel, extra="allow"):
    label: str = ""
    index: int | None = None


class _Detection(_Label):
    bounding_box: tuple[Number, Number, Number, Number]


class _Keypoint(_Label):
    points: list[tuple[Number, Number]]
    visibility: list[Number] | None = None
    occluded: list[bool | None] | None = None


class _Polyline(_Label):
    points: list[list[tuple[Number, Number]]]


class _Metadata(BaseModel):
    width: Number | None = None
    height: Number | None = None


class _Sample(BaseModel, extra="allow"):
    filepath: str
    tags: list[str] = Field(default_factory=list)
    metadata: _Metadata | None = None


def read(export: Export) -> Read:
    """Yield the photos of a ``samples.json``.

    Raises:
        Refused: it is no list of samples, or it can't be told which field holds the landmarks.
    """
    path = export.label_file("samples.json", suffix="")
    file, rows = export.relative(path), []
    content = parse_json(path.read_bytes())
    samples = content.get("samples") if isinstance(content, dict) else None
    if not isinstance(samples, list):
        raise Refused(Reason.FORMAT, f"{file}: has no list samples; export as FiftyOneDataset")
    fields = _fields_of(samples, "Keypoints", LANDMARKS)
    if len(fields) != 1:
        said = f"the fields {', '.join(fields)} hold key points; call the one to take {LANDMARKS}"
        raise Refused(Reason.UNCLEAR, f"{file}: {said if fields else 'no field of key points'}")
    boxes = _fields_of(samples, "Detections", GARMENTS)
    for number, raw in enumerate(samples, 1):
        name = raw.get("filepath", number) if isinstance(raw, dict) else number
        with told(rows, file, f"sample {name}"):
            yield _photo(export, f"{file} {name}", raw, fields[0], boxes)
        yield from rows
        rows.clear()


def _fields_of(samples: list[Any], kind: str, own: str) -> list[str]:
    """The samples' fields that hold labels of a kind; ours alone if it is among them."""
    pairs = (pair for raw in samples if isinstance(raw, dict) for pair in raw.items())
    found = {key for key, value in pairs if isinstance(value, dict) and value.get("_cls") == kind}
    return [own] if own in found else sorted(found)


def _photo(export: Export, place: str, raw: Any, field: str, boxes: Sequence[str]) -> AnnotatedPhoto:
    sample = parsed(_Sample, raw)
    facts = sample.metadata or _Metadata()
    path = export.photo(sample.filepath, "")
    load, size = as_labelled(path, (facts.width or None, facts.height or None))
    listed = [d for name in boxes for d in _labels(raw, name, "detections")]
    detections = [parsed(_Detection, d) for d in listed]
    outlines = [parsed(_Polyline, p) for p in _labels(raw, OUTLINES, "polylines")]
    items = []
    for number, own in enumerate(_labels(raw, field, "keypoints"), 1):
        try:
            keypoint = parsed(_Keypoint, own)
            items.append(_item(keypoint, detections, outlines, size, number))
        except Refused as refused:
            said = f"garment {number} of {field}: {refused.value}"
            raise Refused(refused.reason, said) from None
    splits = [split for tag in sample.tags if (split := split_of(tag))]
    source, pair_id = raw.get("source"), raw.get("pair_id")
    labels = Labels(
        items,
        source if source in ("shop", "user") else "",
        integer(pair_id),
    )
    name = sample.filepath.removeprefix("data/")
    name = path.name if name.startswith(("/", "\\")) or ":" in name else name
    split = splits[0] if splits else "train"
    return AnnotatedPhoto(name, load, size, labels, split, place=place)


def _labels(raw: dict[str, Any], field: str, key: str) -> list[Any]:
    """The list in a field of a sample; empty where the field is null or absent.

    Raises:
        Refused: the field holds something else.
    """
    value = raw.get(field)
    found = value.get(key, []) if isinstance(value, dict) else value
    if found is None:
        return []
    if not isinstance(found, list):
        raise Refused(Reason.FIELD, f"{field} is {short(value)}; expected an object with a list {key}")
    return found


def _item(
    keypoint: _Keypoint,
    detections: Sequence[_Detection],
    outlines: Sequence[_Polyline],
    size: tuple[int, int],
    number: int,
) -> Item:
    kind = find(keypoint.label)
    count = len(keypoint.points)
    if count != kind.num_landmarks:
        said = f"{count} points; expected {kind.num_landmarks} of a {kind.name}"
        raise Refused(Reason.COUNT, f"{said}, NaN where one is not labelled")
    landmarks = []
    for (x, y), v in zip(keypoint.points, _visibilities(keypoint), strict=True):
        known = not (math.isnan(x) or math.isnan(y)) and v != 0
        place = [pixels(x * size[0]), pixels(y * size[1]), v] if known else [0.0, 0.0, 0.0]
        landmarks.append(place)
    same = [d for d in detections if d.index is not None and d.index == keypoint.index]
    if len(same) > 1:
        raise Refused(Reason.UNCLEAR, f"{len(same)} boxes have the index {keypoint.index}; leave one")
    box = _box(same[0], size) if same else box_around(landmarks)
    if box is None:
        raise Refused(Reason.BOX, "no box with its index and no labelled point; add one")
    polygons = [
        [pixels(v * side) for point in shape for v, side in zip(point, size, strict=True)]
        for outline in outlines
        if outline.index is not None and outline.index == keypoint.index
        for shape in outline.points
    ]
    extra = (same[0].model_extra if same else None) or {}
    grades = {g: extra[g] for g in GRADES if extra.get(g) is not None}
    flat = [value for point in landmarks for value in point]
    return Item(f"garment {number}", kind.id, "", box, flat, polygons, **grades)


def _visibilities(keypoint: _Keypoint) -> list[float]:
    """COCO's visibility of each point.

    Raises:
        Refused: a list has another length than the points.
    """
    count = len(keypoint.points)
    for name in ("visibility", "occluded"):
        values = getattr(keypoint, name)
        if values is not None and len(values) != count:
            raise Refused(Reason.COUNT, f"{name} has {len(values)} values for {count} points")
    if keypoint.visibility is not None:
        return [0.0 if math.isnan(v) else v for v in keypoint.visibility]
    return [1.0 if hidden else 2.0 for hidden in keypoint.occluded or [False] * count]


def _box(detection: _Detection, size: tuple[int, int]) -> list[float]:
    x, y, w, h = detection.bounding_box
    return [pixels(v) for v in (x * size[0], y * size[1], (x + w) * size[0], (y + h) * size[1])]


def write(photos: Sequence[AnnotatedPhoto], folder: Path) -> None:
    """Write samples.json, metadata.json and data/."""
    names = file_names((photo.name for photo in photos), flat=False)
    samples = []
    for photo, name in zip(photos, names, strict=True):
        write_photo(folder / "data" / name, photo)
        labels, (width, height) = photo.labels, photo.size
        facts = {"_cls": "ImageMetadata", "width": width, "height": height}
        samples.append(
            {
                "_id": _object_id(name),
                "filepath": f"data/{name}",
                "tags": [photo.split],
                "metadata": facts,
                "_media_type": "image",
                "source": labels.source or None,
                "pair_id": labels.pair_id if labels.pair_id >= 0 else None,
                GARMENTS: {"_cls": "Detections", "detections": list(_detections(photo, name))},
                LANDMARKS: {"_cls": "Keypoints", "keypoints": list(_keypoints(photo, name))},
                OUTLINES: {"_cls": "Polylines", "polylines": list(_polylines(photo, name))},
            }
        )
    (folder / "samples.json").write_bytes(orjson.dumps({"samples": samples}))
    (folder / "metadata.json").write_bytes(metadata(len(samples)))


def _base(kind: str, key: str, item: Item, index: int) -> dict[str, Any]:
    label = {"_id": _object_id(f"{key} {kind} {index}"), "_cls": kind, "attributes": {}, "tags": []}
    return {**label, "label": category_of(item).name, "index": index}


def _detections(photo: AnnotatedPhoto, key: str) -> Iterator[dict[str, Any]]:
    width, height = photo.size
    for index, item in enumerate(photo.labels.items):
        x1, y1, x2, y2 = item.box
        box = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
        score = photo.scores[index].garment if photo.scores else None
        grades = {grade: getattr(item, grade) for grade in GRADES}
        base = _base("Detection", key, item, index)
        yield {**base, "bounding_box": box, "confidence": score, **grades}


def _keypoints(photo: AnnotatedPhoto, key: str) -> Iterator[dict[str, Any]]:
    width, height = photo.size
    for index, item in enumerate(photo.labels.items):
        points = points_of(item).tolist()
        places = [[x / width, y / height] if v else [_NAN, _NAN] for x, y, v in points]
        visibility = [int(v) for _, _, v in points]
        scores = list(photo.scores[index].landmarks) if photo.scores else None
        base = _base("Keypoint", key, item, index)
        yield {**base, "points": places, "confidence": scores, "visibility": visibility}


def _polylines(photo: AnnotatedPhoto, key: str) -> Iterator[dict[str, Any]]:
    width, height = photo.size
    for index, item in enumerate(photo.labels.items):
        shapes = [
            [[x / width, y / height] for x, y in zip(*[iter(polygon)] * 2, strict=True)]
            for polygon in item.polygons
        ]
        base = _base("Polyline", key, item, index)
        if shapes:
            yield {**base, "points": shapes, "closed": True, "filled": True}


def _object_id(text: str) -> dict[str, str]:
    """An id of MongoDB, 24 hexadecimal digits; the same text has the same."""
    return {"$oid": hashlib.sha256(text.encode()).hexdigest()[:24]}
