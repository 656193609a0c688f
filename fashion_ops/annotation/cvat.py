"""CVAT's XML, version 1.1, of tasks of images and of videos: one skeleton a category.

After the pages "XML annotation format", "Annotation with skeletons" and "CVAT" of CVAT's manual. A
point of a skeleton is ``outside`` (not labelled), ``occluded`` (visibility 1) or neither (2). CVAT has
no box of a skeleton: a rectangle and polygons belong to the skeleton that has their ``group_id``;
without a rectangle the box is that around the landmarks. What a garment and a photo have besides are
attributes.

A track has its skeleton on each of its frames; where the skeleton itself is outside, the garment is not
there. ``cvat_labels`` has the labels that a project needs.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse
from pydantic import BaseModel, Field

from fashion_ops.annotation.cvat_labels import BOX, OUTLINE, PHOTO, labels_element, labels_json
from fashion_ops.annotation.files import Export, file_names
from fashion_ops.annotation.losses import Feature
from fashion_ops.annotation.photos import (
    GRADES,
    AnnotatedPhoto,
    Read,
    box_around,
    category_of,
    find,
    landmark_index,
    noted,
    parsed,
    points_of,
    told,
    write_photo,
)
from fashion_ops.annotation.upright import as_labelled
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.base import Item, Labels, split_of

LOST = frozenset((Feature.SCORE, Feature.LANDMARK_SCORE))
_NO_BOX = "skeletons have no rectangle in their group; their box is that around their points"
_FRAME = "frame_{:06d}"
_MOST_DIGITS = 18  # of a number that 64 bits hold
_SHAPES = ("skeleton", "box", "polygon", "polyline", "points", "mask", "cuboid", "ellipse", "tag")


class _Photo(BaseModel):
    name: str
    width: int = Field(ge=0, lt=1 << 31)
    height: int = Field(ge=0, lt=1 << 31)
    subset: str = ""


class _Point(BaseModel):
    label: str
    points: str
    outside: bool = False
    occluded: bool = False


class _Box(BaseModel):
    xtl: float
    ytl: float
    xbr: float
    ybr: float


class _Frame(BaseModel):
    frame: int
    outside: bool = False


class _Attribute(BaseModel):
    name: str
    value: str


@dataclass
class _Frames:
    """The frames that tracks name, and the shapes on each."""

    shapes: dict[int, list[Element]] = field(default_factory=dict)
    size: tuple[float | None, float | None] = (None, None)


def read(export: Export) -> Read:
    """Yield the photos of an ``annotations.xml``.

    Raises:
        Refused: it is no XML, or has neither images nor tracks.
    """
    path = export.label_file("annotations.xml", suffix=".xml")
    file, rows = export.relative(path), []
    frames, num_images, extra = _Frames(), 0, Counter[str]()
    for element in _elements(path, frames):
        if element.tag == "image":
            num_images += 1
            with told(rows, file, f"image {element.get('name')}"):
                yield _image(export, file, element, extra)
        elif element.tag == "track":
            with told(rows, file, f"track {element.get('id')}"):
                _collect(element, frames)
        yield from rows
        rows.clear()
    if not num_images and not frames.shapes:
        raise Refused(Reason.FORMAT, f"{file}: no image and no track; export as CVAT for images 1.1")
    for frame, shapes in sorted(frames.shapes.items()):
        with told(rows, file, f"frame {frame}"):
            yield _photo(export, file, _frame_name(export, frame), "", frames.size, shapes, extra)
        yield from rows
        rows.clear()
    yield from (noted(file, f"{count} {what}") for what, count in extra.items() if count)


def _elements(path: Path, frames: _Frames) -> Iterator[Element]:
    """The images and tracks of a file, one after the other; the size of a video goes to ``frames``.

    Raises:
        Refused: it is no XML, or defines a document type.
    """
    try:
        root = None
        for event, element in iterparse(path, events=("start", "end"), forbid_dtd=True):
            root = element if root is None else root
            if root.tag != "annotations":
                raise Refused(Reason.FORMAT, f"{path.name} begins with {root.tag}, not annotations")
            if event == "end" and element.tag in ("image", "track"):
                yield element
                root.clear()
            elif event == "end" and element.tag == "original_size":
                width, height = element.findtext("width"), element.findtext("height")
                frames.size = (float(width), float(height)) if width and height else frames.size
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        said = f"{path.name}: {error}; export it again"
        raise Refused(Reason.FORMAT, said) from None


def _collect(track: Element, frames: _Frames) -> None:
    """Put the shapes of a track on their frames."""
    for shape in track:
        if shape.tag not in _SHAPES:
            continue
        at = parsed(_Frame, shape.attrib)
        shapes = frames.shapes.setdefault(at.frame, [])
        if not at.outside:
            shape.attrib.setdefault("label", track.get("label", ""))
            shape.attrib.setdefault("group_id", track.get("group_id", ""))
            shapes.append(shape)


def _frame_name(export: Export, frame: int) -> str:
    """The name of a frame's photo, whose suffix the XML does not tell."""
    stem = _FRAME.format(frame)
    for folder in (export.images, export.folder / "images", export.folder):
        found = sorted(folder.glob(f"{stem}.*")) if folder else []
        if found:
            return found[0].name
    return f"{stem}.PNG"  # CVAT's own; its lack is refused by name


def _image(export: Export, file: str, image: Element, extra: Counter[str]) -> AnnotatedPhoto:
    photo = parsed(_Photo, image.attrib)
    size = (float(photo.width), float(photo.height))
    shapes = [shape for shape in image if shape.tag in _SHAPES]
    return _photo(export, file, photo.name, photo.subset, size, shapes, extra)


def _photo(
    export: Export,
    file: str,
    name: str,
    subset: str,
    size: tuple[float | None, float | None],
    shapes: Sequence[Element],
    extra: Counter[str],
) -> AnnotatedPhoto:
    """The photo of an image or a frame; shapes that are of no garment are counted in ``extra``."""
    path = export.photo(name, f"images/{subset}", "images", "")
    skeletons = [shape for shape in shapes if shape.tag == "skeleton"]
    groups = Counter(s.get("group_id") for s in skeletons if s.get("group_id"))
    of_group: dict[str, list[Element]] = {}
    facts: dict[str, str] = {}
    for shape in shapes:
        group = shape.get("group_id") or ""
        if shape.tag == "tag" and shape.get("label") == PHOTO:
            facts = _attributes(shape)
        elif shape.tag in ("box", "polygon") and groups[group] == 1:
            of_group.setdefault(group, []).append(shape)
        elif shape.tag != "skeleton":
            extra[f"shapes {shape.tag} are in no group with one skeleton and are not used"] += 1
    items = []
    for number, skeleton in enumerate(skeletons, 1):
        try:
            group = of_group.get(skeleton.get("group_id") or "", [])
            items.append(_item(skeleton, group, number))
            extra[_NO_BOX] += not any(shape.tag == "box" for shape in group)
        except Refused as refused:
            place = f"skeleton {number} {skeleton.get('label')}: {refused.value}"
            raise Refused(refused.reason, place, len(skeletons)) from None
    labels = Labels(items, facts.get("source", ""), _pair_id(facts.get("pair_id", "")))
    load, pixels = as_labelled(path, size)
    split, said = split_of(subset) or "train", f"{file} image {name}"
    return AnnotatedPhoto(name, load, pixels, labels, split, place=said)


def _item(skeleton: Element, group: Sequence[Element], number: int) -> Item:
    """The garment of a skeleton and of the rectangle and polygons in its group."""
    kind = find(skeleton.get("label"))
    landmarks = [[0.0, 0.0, 0.0] for _ in range(kind.num_landmarks)]
    seen: set[int] = set()
    for element in skeleton.iter("points"):
        point = parsed(_Point, element.attrib)
        index = landmark_index(kind, point.label)
        if index in seen:
            raise Refused(Reason.FIELD, f"the point {point.label} stands twice; delete one")
        seen.add(index)
        x, y = _pairs(point.points, point.label)[0]
        if not point.outside:
            landmarks[index] = [x, y, 1 if point.occluded else 2]
    boxes = [parsed(_Box, shape.attrib) for shape in group if shape.tag == "box"]
    if len(boxes) > 1:
        raise Refused(Reason.UNCLEAR, f"{len(boxes)} rectangles in its group; leave one")
    box = [boxes[0].xtl, boxes[0].ytl, boxes[0].xbr, boxes[0].ybr] if boxes else box_around(landmarks)
    if box is None:
        raise Refused(Reason.BOX, "no rectangle in its group and no labelled point; add one")
    facts = _attributes(skeleton)
    item = Item(
        f"skeleton {number}",
        kind.id,
        "",
        box,
        [value for point in landmarks for value in point],
        [
            [v for pair in _pairs(shape.get("points", ""), shape.tag) for v in pair]
            for shape in group
            if shape.tag == "polygon"
        ],
    )
    return item._replace(**{grade: _number(facts, grade) for grade in GRADES})


def _pairs(text: str, label: str) -> list[list[float]]:
    """``x,y;x,y`` as numbers."""
    try:
        pairs = [[float(v) for v in pair.split(",")] for pair in text.split(";")]
    except ValueError:
        pairs = [[]]
    if any(len(pair) != 2 for pair in pairs):
        raise Refused(Reason.FIELD, f"points of {label} are {text!r}; expected x,y;x,y")
    return pairs


def _attributes(shape: Element) -> dict[str, str]:
    own = [a for a in shape if a.tag == "attribute"]
    rows = [parsed(_Attribute, {"name": a.get("name"), "value": a.text or ""}) for a in own]
    return {row.name: row.value.strip() for row in rows}


def _pair_id(text: str) -> int:
    """The id of a pair; -1 where there is none.

    Raises:
        Refused: it has more than 18 digits.
    """
    if not text.isdecimal():
        return -1
    if len(text) > _MOST_DIGITS:
        raise Refused(Reason.FIELD, f"pair_id is {text}; expected at most {_MOST_DIGITS} digits")
    return int(text)


def _number(facts: dict[str, str], name: str) -> int:
    text = facts.get(name, "") or "0"
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise Refused(Reason.FIELD, f"{name} is {text!r}; expected a whole number")
    return int(text)


def write(photos: Sequence[AnnotatedPhoto], folder: Path) -> None:
    """Write annotations.xml, images/ and labels.json, which defines the labels of a project."""
    names = file_names((photo.name for photo in photos), flat=False)
    (folder / "labels.json").write_bytes(labels_json())
    with (folder / "annotations.xml").open("wb") as file:
        file.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(tostring(_meta(len(photos)), "utf-8", xml_declaration=False) + b"\n")
        for number, (photo, name) in enumerate(zip(photos, names, strict=True)):
            _write_image(file, number, photo, name)
            write_photo(folder / "images" / name, photo)
        file.write(b"</annotations>\n")


def _meta(count: int) -> Element:
    meta = Element("meta")
    task = SubElement(meta, "task")
    for tag, text in {"name": "fashion-ops", "size": str(count), "mode": "annotation"}.items():
        SubElement(task, tag).text = text
    task.append(labels_element())
    return meta


def _write_image(file: BufferedWriter, number: int, photo: AnnotatedPhoto, name: str) -> None:
    width, height = photo.size
    facts = {"id": number, "name": name, "subset": photo.split, "width": width, "height": height}
    image = _element("image", **facts)
    labels = photo.labels
    if labels.pair_id >= 0 or labels.source:
        tag = _element("tag", image, label=PHOTO, source="manual")
        _write_attributes(tag, {"pair_id": labels.pair_id, "source": labels.source})
    for group, item in enumerate(labels.items, 1):
        _write_garment(image, group, item, "auto" if photo.labelled_by else "manual")
    file.write(tostring(image, "utf-8", xml_declaration=False) + b"\n")


def _write_garment(image: Element, group: int, item: Item, source: str) -> None:
    kind, (x1, y1, x2, y2) = category_of(item), item.box
    common = {"source": source, "z_order": 0, "group_id": group}
    skeleton = _element("skeleton", image, label=kind.name, **common)
    middle = f"{(x1 + x2) / 2!r},{(y1 + y2) / 2!r}"  # where CVAT shows a point that is shown again
    for label, (x, y, v) in zip(kind.landmark_names, points_of(item).tolist(), strict=True):
        place = f"{x!r},{y!r}" if v else middle
        flags = {"outside": int(v == 0), "occluded": int(v == 1), "points": place}
        _element("points", skeleton, label=label, source=source, **flags)
    _write_attributes(skeleton, {grade: getattr(item, grade) for grade in GRADES})
    corners = {"xtl": x1, "ytl": y1, "xbr": x2, "ybr": y2}
    _element("box", image, label=BOX, occluded=0, **corners, **common)
    for polygon in item.polygons:
        points = ";".join(f"{x!r},{y!r}" for x, y in zip(*[iter(polygon)] * 2, strict=True))
        _element("polygon", image, label=OUTLINE, occluded=0, points=points, **common)


def _write_attributes(parent: Element, values: dict[str, Any]) -> None:
    for name, value in values.items():
        _element("attribute", parent, name=name).text = str(value)


def _element(tag: str, parent: Element | None = None, **attributes: Any) -> Element:
    texts = {name: str(value) for name, value in attributes.items()}
    return Element(tag, texts) if parent is None else SubElement(parent, tag, texts)
