"""DeepFashion2 as released: ``{train,validation}/{image,annos}``, one JSON file per image.

Each JSON holds ``source``, ``pair_id`` and ``item1``, ``item2``, ... in any order (Ge et al., CVPR
2019, and the data set's README); one without items says that its image is a negative. Ids are the file
stems and restart in each split. A folder such as ``val`` or ``training`` is a split too
(``base.split_of``); whatever is not used is reported.
"""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.base import (
    PHOTO_SUFFIXES,
    UNREAD_SUFFIXES,
    Item,
    Labels,
    Listing,
    integer,
    is_junk,
    parse_json,
    split_of,
)
from fashion_ops.catalog.sources.coco_fields import polygons
from fashion_ops.catalog.sources.layouts import is_coco

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One image with its own label file."""

    split: str
    image: str
    file: str
    coco_id: int

    def read(self, root: Path) -> Labels:
        """The image's items, in the order of their numbers."""
        try:
            handle = os.open(f"{root}/{self.file}", os.O_RDONLY | os.O_NONBLOCK)  # no wait for a pipe
            try:
                status = os.fstat(handle)
                if not stat.S_ISREG(status.st_mode):
                    raise Refused(Reason.NOT_JSON, "is no regular file")
                data = os.read(handle, status.st_size + 1)
            finally:
                os.close(handle)
        except OSError as error:
            raise Refused(Reason.NOT_JSON, error.strerror or "cannot be read") from None
        content = parse_json(data)
        _check_unique(data, content)
        return parse_labels(content)


def entries(root: Path) -> Listing:
    """Yield all images of all splits in the order of names, and refusals where image or labels lack.

    Raises:
        ValueError: ``root`` has no split, or two folders of one; or a folder must be renamed.
    """
    folders = split_folders(root)
    if not folders:
        raise ValueError(f"{root}: not DeepFashion2's layout; expected train/image, train/annos, ...")
    for split, folder in folders.items():
        yield from _split_entries(root, split, folder)
    for name in _names(root):
        if name.lower().endswith(".json") and is_coco(root / name):
            said = "DeepFashion2's labels are one file per image; for COCO set ingest.source: coco"
            yield Refused(Reason.UNUSED, said, 0).row("", name)
        elif (root / name).is_dir() and split_of(name) and name not in folders.values():
            said = f"expected {name}/image and {name}/annos"
            yield Refused(Reason.UNUSED, said, 0).row("", name)


def split_folders(root: Path) -> dict[str, str]:
    """The name of each split's folder, in the order of ``SPLITS``.

    Raises:
        ValueError: two folders are of one split, or a folder with ``annos`` is of none.
    """
    folders: dict[str, str] = {}
    for name in _names(root):
        if not (root / name / "annos").is_dir() and not (name in SPLITS[:2] and (root / name).is_dir()):
            continue
        split = split_of(name)
        if split is None:
            raise ValueError(f"{root / name}: no split; rename it to train, validation or test")
        if other := folders.get(split):
            raise ValueError(f"{root}: {other} and {name} are both of the split {split}; merge them")
        folders[split] = name
    return {split: folders[split] for split in SPLITS if split in folders}


def _split_entries(root: Path, split: str, folder: str) -> Listing:
    labels: dict[str, str] = {}
    for name in _names(root / folder / "annos"):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a path object per name is slow
        if suffix.lower() == ".json" and labels.setdefault(stem, name) != name:
            said = f"{labels[stem]} has the same stem"
            yield Refused(Reason.DUPLICATE, said).row(split, f"{folder}/annos/{name}")
    images: dict[str, str] = {}
    for name in _image_names(root / folder):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        file = f"{folder}/image/{name}"
        if suffix.lower() not in PHOTO_SUFFIXES:
            continue
        if stem in images:
            yield Refused(Reason.DUPLICATE, f"{images[stem]} has the same stem").row(split, file)
        elif stem not in labels:
            images[stem] = name
            yield Refused(Reason.NO_LABELS, f"no annos/{stem}.json").row(split, file)
        else:
            images[stem] = name
    ids = _ids(sorted(labels))
    for stem, coco_id in ids.items():
        image = f"{folder}/image/{images[stem]}" if stem in images else ""
        yield RawEntry(split, image, f"{folder}/annos/{labels[stem]}", coco_id)


def _image_names(folder: Path) -> list[str]:
    """Names in the split's ``image``, those last whose suffix is not read.

    Raises:
        ValueError: there is no such folder, but ``images``.
    """
    if not (folder / "image").is_dir() and (folder / "images").is_dir():
        raise ValueError(f"{folder / 'images'}: rename it to image")
    names = _names(folder / "image")
    unread = [n for n in names if os.path.splitext(n)[1].lower() in UNREAD_SUFFIXES]  # noqa: PTH122
    return [n for n in names if n not in unread] + unread if unread else names


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not is_junk(entry.name))


def _ids(stems: list[str]) -> dict[str, int]:
    """Stem -> id: its number if all stems are different numbers, else its position."""
    if all(s.isascii() and s.isdecimal() and len(s) < 19 for s in stems):
        numbers = {s: int(s) for s in stems}
        if len(set(numbers.values())) == len(numbers):
            return numbers
    return {s: i for i, s in enumerate(stems, 1)}


def parse_labels(content: Any) -> Labels:
    """Labels from one parsed JSON file.

    Raises:
        Refused: it is no object, or has no item although it has more than ``source`` and ``pair_id``.
    """
    if not isinstance(content, dict):
        raise Refused(Reason.SHAPE, f"{type(content).__name__} instead of an object: {content!r}")
    items = list(_items(content))
    known = "source" in content or "pair_id" in content
    if not items and not (known and all(_is_plain(v) for v in content.values())):
        raise Refused(Reason.SHAPE, f"no item1 among the keys {list(content)[:6]}")
    source = content.get("source")
    return Labels(
        items, source if source in ("shop", "user") else "", integer(content.get("pair_id"), -1)
    )


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _check_unique(data: bytes, content: Any) -> None:
    """Check that no item is lost because two have one name; a parser keeps the last of them.

    Raises:
        Refused: a name occurs twice.
    """
    if not isinstance(content, dict) or data.count(b'"item') <= sum(map(_is_item, content)):
        return
    try:
        names = [key for key, _ in json.loads(data, object_pairs_hook=list, parse_int=float)]
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.NOT_JSON, str(error)) from None
    if double := next((name for name in names if names.count(name) > 1), ""):
        raise Refused(Reason.SHAPE, f"{double} occurs twice", sum(map(_is_item, names)))


def _is_item(name: str) -> bool:
    return name.startswith("item") and name[4:].isdecimal() and len(name) < 24


def _items(content: dict[str, Any]) -> Iterator[Item]:
    names = [name for name in content if _is_item(name)]
    for name, value in content.items():
        if isinstance(value, dict) and "landmarks" in value and not _is_item(name):
            number = len(names) + 1
            raise Refused(Reason.SHAPE, f"{name!r} is a garment; expected item1, item2, ...", number)
    for name in sorted(names, key=lambda k: int(k[4:])):
        item = content[name]
        get = item.get if isinstance(item, dict) else {}.get
        yield Item(
            name,
            get("category_id"),
            get("category_name", ""),
            get("bounding_box"),
            get("landmarks"),
            polygons(get("segmentation", ())),
            get("scale", 0),
            get("occlusion", 0),
            get("zoom_in", 0),
            get("viewpoint", 0),
            get("style", 0),
        )
