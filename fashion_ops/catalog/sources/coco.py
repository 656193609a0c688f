"""COCO-style label files, above all those of DeepFashion2's official converter (294 keypoint slots).

The layout below ``root`` is either any number of ``SPLIT.json`` with their images in ``SPLIT/`` (or
``SPLIT/image/``), or one JSON file beside ``image/``, whose split is ``train``. ``root`` may also be a
JSON file; its split is its name if that is ``train`` or ``validation``, else ``train``.

Keypoints are 294 slots, of which an item fills those of its category, or the landmarks of the category
alone. Categories are matched by name where the file names them (as the converter does, or as we do),
else by id. The converter drops scale, occlusion, zoom and viewpoint: they become 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.sources.base import (
    Item,
    Labels,
    Listing,
    inside,
    integer,
    is_junk,
    parse_json,
)
from fashion_ops.catalog.sources.json_index import elements
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS, category

FILE_SPLITS = ("train", "validation")
_IMAGE_KEYS = ("id", "file_name", "width", "height")


@dataclass(frozen=True, slots=True)
class CocoEntry:
    """One image, and the byte ranges of its annotations in the label file."""

    split: str
    image: str
    file: str
    coco_id: int
    size: tuple[Any, Any] | None
    spans: tuple[tuple[int, int], ...]
    categories: Mapping[Any, Any]  # id in the file -> our id

    def read(self, root: Path) -> Labels:
        """The image's annotations in file order."""
        data = _mapped(root / self.file)
        raw = [parse_json(data[start:end]) for start, end in self.spans]
        pair_ids = (integer(a.get("pair_id")) for a in raw)
        sources = (a.get("source") for a in raw)
        return Labels(
            [_item(a, self.categories) for a in raw],
            source=next((s for s in sources if s in ("shop", "user")), ""),
            pair_id=next((p for p in pair_ids if p >= 0), -1),
            size=self.size,
        )


def entries(root: Path) -> Listing:
    """Yield all images of all label files, and refusals for faults in the structure of a file.

    Raises:
        ValueError: there is no label file where one is expected.
    """
    base = root if root.is_dir() else root.parent
    for split, file, images in _label_files(root):
        yield from _file_entries(base, split, file, images)


def _label_files(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield (split, label file, folder of images)."""
    if root.is_file():
        split = root.stem if root.stem in FILE_SPLITS else "train"
        folders = [root.parent / n for n in (root.stem, "image", "images")]
        yield split, root, next((_images(f) for f in folders if f.is_dir()), root.parent)
        return
    files = sorted(file for file in root.glob("*.json") if not is_junk(file.name))
    paired = [f for f in files if f.with_suffix("").is_dir()]
    if paired:
        yield from ((f.stem, f, _images(f.with_suffix(""))) for f in paired)
    elif len(files) == 1 and (root / "image").is_dir():
        yield "train", files[0], root / "image"
    else:
        raise ValueError(
            f"{root}: expected SPLIT.json beside SPLIT/, or one .json beside image/; "
            f"found {[f.name for f in files][:5]}"
        )


def _images(folder: Path) -> Path:
    return folder / "image" if (folder / "image").is_dir() else folder


def _file_entries(base: Path, split: str, path: Path, folder: Path) -> Listing:
    file = path.relative_to(base).as_posix()
    try:
        images, spans, categories, broken = _index(path)
    except Refused as refused:
        yield refused.row(split, file)
        return
    yield from (Refusal(split, file, *row) for row in broken)
    names: dict[str, int] = {}
    ids = [i.get("id") for i in images]
    numbered = all(integer(i) >= 0 for i in ids) and len(set(ids)) == len(ids)
    for position, image in enumerate(images, 1):
        annotations = tuple(spans.pop(_key(image.get("id")), ()))
        try:
            name = inside(image.get("file_name"))
            if name in names:
                raise Refused(Reason.DUPLICATE, f"{name} is also image {names[name]}")
            names[name] = position
            if not annotations:
                raise Refused(Reason.NO_LABELS, f"{name} has no annotation")
        except Refused as refused:
            yield refused.row(split, file, f"image {image.get('id')}", max(1, len(annotations)))
            continue
        yield CocoEntry(
            split,
            (folder / name).relative_to(base).as_posix(),
            file,
            image["id"] if numbered else position,
            (image.get("width"), image.get("height")),
            annotations,
            categories,
        )
    for key, orphans in spans.items():
        yield Refused(Reason.NO_IMAGE, f"no image with id {key}", len(orphans)).row(split, file)


def _index(
    path: Path,
) -> tuple[
    list[dict[str, Any]],
    dict[Any, list[tuple[int, int]]],
    dict[Any, Any],
    list[tuple[str, str, str, int]],
]:
    """Index a label file without keeping its annotations.

    Returns:
        The images, the byte ranges of the annotations by image id, the categories (see
        ``_category_ids``), and the refused elements as (item, reason, value, number of records).
    """
    images, spans, listed, broken = [], {}, [], []
    if path.stat().st_size == 0:
        raise Refused(Reason.NOT_JSON, "empty file")
    data = _mapped(path)
    sections = set()
    for number, (section, start, end) in enumerate(elements(data)):
        sections.add(section)
        if section not in ("images", "annotations", "categories"):
            continue
        try:
            content = parse_json(data[start:end])
        except Refused as refused:
            row = refused.row("", "")
            broken.append((f"{section} element {number}", row.reason, row.value, 1))
            continue
        if section == "images":
            images.append({key: content.get(key) for key in _IMAGE_KEYS})
        elif section == "categories":
            listed.append(content)
        else:
            spans.setdefault(_key(content.get("image_id")), []).append((start, end))
    if not {"images", "annotations"} <= sections:
        raise Refused(Reason.SHAPE, f"no images and annotations; lists found: {sorted(sections)}")
    return images, spans, _category_ids(listed), broken


def _key(value: Any) -> Any:
    """``value`` as a dictionary key; its ``repr`` if it is neither integer nor string."""
    return value if isinstance(value, int | str) else repr(value)


def _category_ids(listed: list[dict[str, Any]]) -> dict[Any, Any]:
    """Category id in the file -> our id, or id and name as text if the name is unknown."""
    ids: dict[Any, Any] = {c.id: c.id for c in CATEGORIES}
    for row in listed:
        name = row.get("name")
        try:
            ids[_key(row.get("id"))] = category(name).id if isinstance(name, str) else row.get("id")
        except KeyError:
            ids[_key(row.get("id"))] = f"{row.get('id')} {name}"
    return ids


def _item(annotation: dict[str, Any], categories: Mapping[Any, Any]) -> Item:
    raw_id = annotation.get("category_id")
    category_id = categories.get(_key(raw_id), raw_id)
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box):
        box = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    polygons = annotation.get("segmentation", ())
    return Item(
        str(annotation.get("id")),
        category_id,
        "",
        box,
        _category_landmarks(annotation.get("keypoints"), category_id),
        () if isinstance(polygons, dict) else polygons,  # run-length masks have no polygons
        style=annotation.get("style", 0),
    )


def _category_landmarks(keypoints: Any, category_id: Any) -> Any:
    """The category's slots of 294, if no other slot is labelled; anything else unchanged."""
    full = isinstance(keypoints, list) and len(keypoints) == 3 * NUM_LANDMARKS
    if not full or type(category_id) is not int or not 1 <= category_id <= len(CATEGORIES):
        return keypoints
    slots = CATEGORIES[category_id - 1].slots
    start, stop = 3 * slots.start, 3 * slots.stop
    if any(keypoints[2:start:3]) or any(keypoints[stop + 2 :: 3]):
        return keypoints
    return keypoints[start:stop]


def _mapped(path: Path) -> mmap:
    stat = path.stat()
    return _map(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=4)
def _map(path: Path, version: tuple[int, int, int]) -> mmap:
    """Map a file into memory; the mapping is cached for further entries of this version of it."""
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)
