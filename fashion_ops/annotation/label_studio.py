"""Label Studio's JSON: a rectangle a garment, a key point a landmark, in percent of the photo.

After the pages "Label Studio Task Format", "Import pre-annotated data", "KeyPointLabels" and "Choices"
of Label Studio's documentation. A key point belongs to the rectangle that is its parent (``parentID``),
to which a relation leads, or which is the only one. ``visibility`` is a choice per region; a key point
without it is visible. ``label_config.xml`` is the labelling configuration.

Only annotations are labels. A task with predictions alone is not labelled yet; what a model labels is
written as predictions, with its scores.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import BaseModel, Field

from fashion_ops.annotation.exported import short_name
from fashion_ops.annotation.files import Export, file_names
from fashion_ops.annotation.label_studio_config import CONTROLS, label_config
from fashion_ops.annotation.losses import Feature
from fashion_ops.annotation.photos import (
    GRADES,
    AnnotatedPhoto,
    Read,
    category_of,
    find,
    landmark_index,
    noted,
    parsed,
    pixels,
    points_of,
    told,
    write_photo,
)
from fashion_ops.annotation.upright import as_labelled
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.base import (
    PHOTO_SUFFIXES,
    Item,
    Labels,
    integer,
    parse_json,
    split_of,
)

LOST: frozenset[Feature] = frozenset()
_HIDDEN = {"visible": 2, "hidden": 1, "occluded": 1}
_IMAGE_KEYS = ("image", "img")


class _Value(BaseModel):
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0
    rotation: float = 0
    points: list[tuple[float, float]] = Field(default_factory=list)
    rectanglelabels: list[str] = Field(default_factory=list)
    keypointlabels: list[str] = Field(default_factory=list)
    choices: list[str] = Field(default_factory=list)
    number: float | None = None


class _Region(BaseModel):
    type: str
    id: str = ""
    from_name: str = ""
    parentID: str | None = None  # Label Studio's spelling
    from_id: str = ""
    to_id: str = ""
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float = 0
    value: _Value = Field(default_factory=_Value)


class _Annotation(BaseModel):
    result: list[_Region]
    was_cancelled: bool = False
    ground_truth: bool = False


class _Task(BaseModel):
    data: dict[str, Any]
    annotations: list[_Annotation]
    predictions: list[Any] = Field(default_factory=list)


def read(export: Export) -> Read:
    """Yield the labelled photos of an export, and what is not labelled.

    Raises:
        Refused: it is no JSON list of tasks.
    """
    path = export.label_file("tasks.json", "result.json", suffix=".json")
    file, rows = export.relative(path), []
    tasks = parse_json(path.read_bytes())
    if not isinstance(tasks, list):
        raise Refused(Reason.FORMAT, f"{file}: no list of tasks; export it as JSON")
    waiting = 0
    for number, raw in enumerate(tasks, 1):
        name = raw.get("id", number) if isinstance(raw, dict) else number
        with told(rows, file, f"task {name}"):
            task = _task(raw)
            if (annotation := _chosen(task)) is None:
                waiting += 1
            else:
                yield _photo(export, f"{file} task {name}", task, annotation)
        yield from rows
        rows.clear()
    if waiting:
        yield noted(
            file, f"{waiting} tasks have no annotation and are not used; predictions are no labels"
        )


def _task(raw: Any) -> _Task:
    if isinstance(raw, dict) and "annotations" not in raw:
        if "data" in raw:
            raw = {**raw, "annotations": raw.get("completions", [])}  # of versions before 1.0
        else:
            raise Refused(Reason.FORMAT, "no data and annotations: JSON-MIN; export it as JSON")
    return parsed(_Task, raw)


def _chosen(task: _Task) -> _Annotation | None:
    """The annotation that counts; None where nobody has made one.

    Raises:
        Refused: there are several, and none or several are the ground truth.
    """
    made = [a for a in task.annotations if not a.was_cancelled]
    truths = [a for a in made if a.ground_truth]
    if len(made) > 1 and len(truths) != 1:
        said = f"{len(made)} annotations; mark one as ground truth, or delete the others"
        raise Refused(Reason.UNCLEAR, said)
    return (truths or made or [None])[0]


def _photo(export: Export, place: str, task: _Task, annotation: _Annotation) -> AnnotatedPhoto:
    name = _image_name(task.data)
    path = export.photo(name, "", "images")
    regions = annotation.result
    said = next((r for r in regions if r.original_width), None)
    load, size = as_labelled(
        path, (said.original_width, said.original_height) if said else (None, None)
    )
    if any(region.image_rotation for region in regions):
        raise Refused(
            Reason.FIELD, "the photo is rotated in Label Studio; save it turned, label it anew"
        )
    pair_id, source = task.data.get("pair_id"), task.data.get("source")
    labels = Labels(
        _items(regions, size),
        source if source in ("shop", "user") else "",
        integer(pair_id),
    )
    split = split_of(str(task.data.get("split", ""))) or "train"
    return AnnotatedPhoto(_short_name(export, path), load, size, labels, split, place=place)


def _short_name(export: Export, path: Path) -> str:
    """A photo's path in the folder of photos; in the export it may be an address."""
    base = export.images or export.folder
    return short_name(path.relative_to(base).as_posix())


def _image_name(data: dict[str, Any]) -> str:
    """The value of a task's data that names its photo."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    named = [texts[key] for key in _IMAGE_KEYS if key in texts]
    photos = [t for t in texts.values() if Path(t).suffix.lower() in PHOTO_SUFFIXES]
    if not named and len(photos) != 1:
        raise Refused(Reason.UNCLEAR, f"its data {list(data)} name no photo; call it image")
    return (named or photos)[0]


def _items(regions: Sequence[_Region], size: tuple[int, int]) -> list[Item]:
    """The garments of an annotation, in the order of their rectangles."""
    rectangles = [r for r in regions if r.type == "rectanglelabels"]
    boxes = {r.id: r for r in rectangles}
    if len(boxes) < len(rectangles):
        twice = next(r.id for r in rectangles if boxes[r.id] is not r)
        raise Refused(Reason.DUPLICATE_ID, f"rectangle {twice!r}; give each rectangle an id of its own")
    owners = _owners(regions, boxes)
    kinds = {key: find((box.value.rectanglelabels or [""])[0]) for key, box in boxes.items()}
    landmarks = {key: [[0.0, 0.0, 0]] * kind.num_landmarks for key, kind in kinds.items()}
    polygons: dict[str, list[list[float]]] = {key: [] for key in boxes}
    choices = {r.id: r.value.choices for r in regions if r.type == "choices"}
    for region in regions:
        if region.type not in ("keypointlabels", "polygonlabels"):
            continue
        owner = owners.get(region.id)
        if owner is None:
            said = f"the {region.type[:-6]} {region.id}; make a rectangle its parent (drag it there)"
            raise Refused(Reason.UNCLEAR, f"of which garment is {said}")
        if region.type == "polygonlabels":
            polygons[owner].append([v for p in region.value.points for v in _pixels(p, size)])
            continue
        label = (region.value.keypointlabels or [""])[0]
        index = landmark_index(kinds[owner], label)
        if landmarks[owner][index][2]:
            said = f"{label} of {kinds[owner].name} {owner} stands twice; delete one"
            raise Refused(Reason.FIELD, said)
        x, y = _pixels((region.value.x, region.value.y), size)
        landmarks[owner][index] = [x, y, _visibility(choices.get(region.id, []))]
    return [
        Item(
            f"rectangle {key}",
            kinds[key].id,
            "",
            _box(box, size),
            [value for point in landmarks[key] for value in point],
            polygons[key],
            **_grades(regions, key),
        )
        for key, box in boxes.items()
    ]


def _owners(regions: Sequence[_Region], boxes: dict[str, _Region]) -> dict[str, str]:
    """The rectangle that each region belongs to."""
    owners = {r.id: next(iter(boxes)) for r in regions} if len(boxes) == 1 else {}
    for region in regions:
        if region.type == "relation":
            for one, other in ((region.from_id, region.to_id), (region.to_id, region.from_id)):
                if one in boxes and other not in boxes:
                    owners[other] = one
    return owners | {r.id: r.parentID for r in regions if r.parentID in boxes and r.parentID}


def _pixels(point: tuple[float, float], size: tuple[int, int]) -> list[float]:
    return [pixels(v / 100 * side) for v, side in zip(point, size, strict=True)]


def _box(region: _Region, size: tuple[int, int]) -> list[float]:
    value = region.value
    if value.rotation:
        said = f"the rectangle {region.id} is rotated by {value.rotation:g} degrees; draw it upright"
        raise Refused(Reason.BOX, said)
    corners = ((value.x, value.y), (value.x + value.width, value.y + value.height))
    return [v for corner in corners for v in _pixels(corner, size)]


def _visibility(choices: Sequence[str]) -> int:
    """2 without a choice.

    Raises:
        Refused: the choice is none of ours.
    """
    if choices and choices[0] not in _HIDDEN:
        raise Refused(Reason.VISIBILITY, f"{choices[0]!r}; expected visible or hidden")
    return _HIDDEN[choices[0]] if choices else 2


def _grades(regions: Sequence[_Region], key: str) -> dict[str, Any]:
    """The numbers of a garment's region, by the name of their control."""
    own = [r for r in regions if r.id == key and r.type == "number" and r.from_name in GRADES]
    values = {r.from_name: r.value.number or 0 for r in own}
    return {name: int(v) if float(v).is_integer() else v for name, v in values.items()}


def write(photos: Sequence[AnnotatedPhoto], folder: Path) -> None:
    """Write tasks.json, label_config.xml and images/; what a model labelled becomes predictions."""
    names = file_names((photo.name for photo in photos), flat=False)
    tasks = []
    for number, (photo, name) in enumerate(zip(photos, names, strict=True), 1):
        write_photo(folder / "images" / name, photo)
        labels = photo.labels
        data: dict[str, Any] = {
            "image": f"/data/local-files/?d={quote(f'images/{name}')}",
            "split": photo.split,
        }
        data |= {"source": labels.source} if labels.source else {}
        data |= {"pair_id": labels.pair_id} if labels.pair_id >= 0 else {}
        results = [region for n in range(len(labels.items)) for region in _regions(photo, n)]
        task: dict[str, Any] = {"id": number, "data": data}
        if photo.labelled_by:
            score = min((s.garment for s in photo.scores), default=1.0)
            made = {"model_version": photo.labelled_by, "score": score, "result": results}
            task |= {"annotations": [], "predictions": [made]}
        else:
            task |= {"annotations": [{"result": results}], "predictions": []}
        tasks.append(task)
    (folder / "tasks.json").write_bytes(orjson.dumps(tasks, option=orjson.OPT_INDENT_2))
    (folder / "label_config.xml").write_text(label_config(), encoding="utf-8")


def _regions(photo: AnnotatedPhoto, number: int) -> Iterator[dict[str, Any]]:
    """The regions of a garment: its rectangle, numbers, key points and polygons."""
    item, (width, height) = photo.labels.items[number], photo.size
    scores = photo.scores[number] if photo.scores else None
    kind, own = category_of(item), f"garment-{number + 1}"
    frame = {"to_name": "image", "original_width": width, "original_height": height}
    frame |= {"image_rotation": 0}

    def percent(x: float, y: float) -> dict[str, float]:
        return {"x": x / width * 100, "y": y / height * 100}

    def region(key: str, kind: str, value: dict[str, Any], score: float | None) -> dict[str, Any]:
        made = {"id": key, "from_name": CONTROLS[kind], "type": kind, **frame, "value": value}
        made |= {"parentID": own} if key != own else {}
        return made if score is None else {**made, "score": score}

    x1, y1, x2, y2 = item.box
    size = {"width": (x2 - x1) / width * 100, "height": (y2 - y1) / height * 100, "rotation": 0}
    box = {**percent(x1, y1), **size}
    labelled = {**box, "rectanglelabels": [kind.name]}
    yield region(own, "rectanglelabels", labelled, scores.garment if scores else None)
    for grade in GRADES:
        if value := getattr(item, grade):
            facts = {"id": own, "from_name": grade, "type": "number", **frame}
            yield {**facts, "value": {**box, "number": value}}
    for index, (x, y, v) in enumerate(points_of(item).tolist()):
        if not v:
            continue
        key, place = f"{own}-{index + 1}", {**percent(x, y), "width": 0.4}
        label = {**place, "keypointlabels": [kind.landmark_names[index]]}
        yield region(key, "keypointlabels", label, scores.landmarks[index] if scores else None)
        if v == 1:
            yield region(key, "choices", {**place, "choices": ["hidden"]}, None)
    for index, polygon in enumerate(item.polygons, 1):
        points = [list(percent(x, y).values()) for x, y in zip(*[iter(polygon)] * 2, strict=True)]
        value = {"points": points, "closed": True, "polygonlabels": ["outline"]}
        yield region(f"{own}-outline-{index}", "polygonlabels", value, None)
