"""COCO-style label files, above all those of DeepFashion2's official converter (294 keypoint slots).

``layouts`` finds the label files below ``root``, their splits and their images; ``root`` may also be a
label file. ``coco_fields`` says what the fields mean, for ``score`` too.

Keypoints are 294 slots, of which an item fills those of its category, or the landmarks of the category
alone; an empty list labels none. Categories are matched by name where the file names them (as the
converter does, or as we do), else by id. The converter drops scale, occlusion, zoom and viewpoint: they
become 0. An image without annotations is a negative, and a crowd annotation is no garment.

Where an id is given twice, it can't be told which image an annotation means: all images of the id are
refused. The later of two annotations with one id is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fashion_ops.catalog.quarantine import Reason, Refused, short
from fashion_ops.catalog.sources.base import (
    Item,
    Labels,
    Listing,
    identity,
    inside,
    integer,
    parse_exact,
    parse_json,
)
from fashion_ops.catalog.sources.coco_fields import (
    category_ids,
    category_slots,
    is_crowd,
    polygons,
    without_keypoints,
)
from fashion_ops.catalog.sources.json_index import elements, mapped
from fashion_ops.catalog.sources.layouts import LabelFile, image_folder, label_files
from fashion_ops.taxonomy import CATEGORIES

_IMAGE_KEYS = ("id", "file_name", "width", "height")
_ID_KEYS = ("id", "image_id", "category_id")
_LARGE = 1 << 53  # floats from here on may be integers that lost digits
Key = int | str


@dataclass(frozen=True, slots=True)
class CocoEntry:
    """One image, and the byte ranges of its annotations in the label file."""

    split: str
    image: str
    file: str
    coco_id: int
    size: tuple[Any, Any]
    spans: tuple[tuple[int, int], ...]
    categories: Mapping[Key, Any]  # id in the file -> our id

    def read(self, root: Path) -> Labels:
        """The image's annotations in file order."""
        if not self.spans:
            return Labels([], size=self.size)
        data = mapped(root / self.file)
        raw = [_parse(data[start:end]) for start, end in self.spans]
        pair_ids = (integer(a.get("pair_id")) for a in raw)
        sources = (a.get("source") for a in raw)
        crowds = [_is_sound_crowd(a) for a in raw]
        return Labels(
            [_item(a, self.categories) for a, crowd in zip(raw, crowds, strict=True) if not crowd],
            source=next((s for s in sources if s in ("shop", "user")), ""),
            pair_id=next((p for p in pair_ids if p >= 0), -1),
            size=self.size,
            crowds=tuple(
                short(str(a.get("id"))) for a, crowd in zip(raw, crowds, strict=True) if crowd
            ),
        )


@dataclass
class _Index:
    """A label file without its annotations.

    Attributes:
        images: the images that have an id, with ``_IMAGE_KEYS``, ``id`` as a key.
        spans: byte ranges of the annotations by image id.
        categories: of ``category_ids``.
        broken: the refused elements, and what each is called.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    spans: dict[Key, list[tuple[int, int]]] = field(default_factory=dict)
    categories: Mapping[Key, Any] = field(default_factory=dict)
    broken: list[tuple[str, Refused]] = field(default_factory=list)


def entries(root: Path) -> Listing:
    """Yield all images of all label files, and refusals for faults in the structure of a file.

    Raises:
        ValueError: the label files can't be told; see ``layouts.label_files``.
    """
    base = root if root.is_dir() else root.parent
    labels, unused = label_files(root)
    yield from unused
    for label in labels:
        yield from _file_entries(base, label)


def _file_entries(base: Path, label: LabelFile) -> Listing:
    split, path = label
    file = path.relative_to(base).as_posix()
    try:
        index = _index(path)
    except Refused as refused:
        yield refused.row(split, file)
        return
    for element, refused in index.broken:
        yield refused.row(split, file, element)
    folder = image_folder(base, label, (i["file_name"] for i in index.images))
    twins = _twins(index.images)
    names: dict[str, Key] = {}
    numbered = all(isinstance(i["id"], int) and 0 <= i["id"] < 1 << 63 for i in index.images)
    for position, image in enumerate(index.images, 1):
        key = image["id"]
        annotations = tuple(index.spans.pop(key, ()))
        try:
            if key in twins:
                if annotations or twins[key]:
                    said, twins[key] = twins[key], ""
                    raise Refused(Reason.DUPLICATE_ID, said, max(1, len(annotations)))
                continue  # counted with the first image of the id
            name = _inside(image["file_name"])
            if name in names:
                raise Refused(
                    Reason.DUPLICATE, f"{name} is also image {names[name]}", max(1, len(annotations))
                )
            names[name] = key
        except Refused as refused:
            count = max(refused.num_records, len(annotations))
            yield refused.row(split, file, f"image {key}", count)
            continue
        yield CocoEntry(
            split,
            (folder / name).relative_to(base).as_posix(),
            file,
            key if numbered else position,
            (image["width"], image["height"]),
            annotations,
            index.categories,
        )
    known = {i["id"] for i in index.images}
    for key, orphans in index.spans.items():
        hint = _other_type(key, known)
        refused = Refused(Reason.NO_IMAGE, f"no image with id {key!r}{hint}", len(orphans))
        yield refused.row(split, file)


def _inside(name: object) -> str:
    try:
        return inside(name)
    except Refused as refused:
        said = f"{refused.value}; expected a path below the images' folder"
        raise Refused(refused.reason, said) from None


def _twins(images: list[dict[str, Any]]) -> dict[Key, str]:
    """For each id of images with different names, a sentence that names two of them."""
    first: dict[Key, Any] = {}
    twins: dict[Key, str] = {}
    for image in images:
        key, name = image["id"], image["file_name"]
        if first.setdefault(key, name) != name:
            twins.setdefault(key, f"{first[key]!r} and {name!r} both have the id {key!r}")
    return twins


def _other_type(key: Key, known: set[Key]) -> str:
    """A hint where an id would be known if the text were a number, or the number a text."""
    other: Key | None = str(key) if isinstance(key, int) else identity(_number(key))
    return f"; there is one with id {other!r}: write both alike" if other in known else ""


def _number(text: Key) -> object:
    try:
        return float(text)
    except (ValueError, OverflowError):
        return None


def _index(path: Path) -> _Index:
    """Index a label file.

    Raises:
        Refused: it can't be read, or has no lists images and annotations.
    """
    index, listed, lists = _Index(), [], []
    seen: dict[Key, Key] = {}
    data = mapped(path)
    for number, (section, start, end) in enumerate(elements(data, lists)):
        if section not in ("images", "annotations", "categories"):
            continue
        element = f"{section} element {number}"
        try:
            content = _parse(data[start:end])
            if section == "categories":
                listed.append(content)
            elif section == "images":
                row = {key: content.get(key) for key in _IMAGE_KEYS}
                index.images.append(row | {"id": _checked_id(content, "id")})
            else:
                element = f"annotation {content.get('id')}"
                key = _checked_id(content, "image_id")
                _check_new(content, key, seen)
                index.spans.setdefault(key, []).append((start, end))
        except Refused as refused:
            index.broken.append((element, refused))
    if not {"images", "annotations"} <= set(lists):
        raise Refused(Reason.SHAPE, f"no images and annotations; lists found: {sorted(lists)}")
    index.categories = category_ids(listed)
    return index


def _parse(data: bytes) -> dict[str, Any]:
    """Parse an element; its ids keep all their digits."""
    content = parse_json(data)
    large = (type(v) is float and abs(v) >= _LARGE for v in map(content.get, _ID_KEYS))
    return parse_exact(data) if any(large) else content


def _checked_id(content: Mapping[str, Any], name: str) -> Key:
    key = identity(content.get(name))
    if key is None:
        said = f"{name} {content.get(name)!r}; expected a whole number or a text"
        raise Refused(Reason.SHAPE, said)
    return key


def _check_new(annotation: Mapping[str, Any], image: Key, seen: dict[Key, Key]) -> None:
    """Refuse an annotation whose id was seen before; ``seen`` has the image of each id."""
    key = identity(annotation.get("id"))
    if key in seen:
        said = f"annotations of the images {seen[key]!r} and {image!r} both have the id {key!r}"
        raise Refused(Reason.DUPLICATE_ID, said)
    if key is not None:
        seen[key] = image


def _is_sound_crowd(annotation: Mapping[str, Any]) -> bool:
    """Whether it is a crowd; one whose ``iscrowd`` is unclear is refused later, as an item."""
    try:
        return is_crowd(annotation)
    except Refused:
        return False


def _item(annotation: dict[str, Any], categories: Mapping[Key, Any]) -> Item:
    raw_id = annotation.get("category_id")
    key = identity(raw_id)
    category_id = raw_id
    if key is not None:
        category_id = categories.get(key, f"{key} is not among the file's categories")
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box):
        box = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    landmarks, problem = category_slots(annotation.get("keypoints"), category_id), None
    try:
        is_crowd(annotation)
        if without_keypoints(annotation) and type(category_id) is int:
            landmarks = [0] * (3 * CATEGORIES[category_id - 1].num_landmarks)
    except Refused as refused:
        problem = refused
    return Item(
        short(str(annotation.get("id"))),
        category_id,
        "",
        box,
        landmarks,
        polygons(annotation.get("segmentation", ())),
        style=annotation.get("style", 0),
        problem=problem,
    )
