"""Where the label files of a COCO data set lie, which split each is, and where its images are.

Labelling tools write ``SPLIT.json`` beside ``SPLIT/``, one file beside ``images/`` (Label Studio) or
``data/`` (FiftyOne), ``annotations/instances_SPLIT.json`` beside ``images/`` (CVAT, COCO, MMPose), or
``SPLIT/_annotations.coco.json`` among the images (Roboflow). A file's split is told by a word of its
name or of its folder's name (``base.split_of``); a single file without such a word is ``train``.
Whatever is not used is reported, never passed over.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.sources.base import PHOTO_SUFFIXES, inside, is_file, is_junk, split_of
from fashion_ops.catalog.sources.json_index import elements, mapped

IMAGE_FOLDERS = ("image", "images", "data", "imgs", "img", "JPEGImages", "pictures", "photos")
_PROBED = 100  # images whose files are looked for in each folder
_ONE_PER_IMAGE = 20  # JSON files in a sub-folder from which they are taken for one per image


class LabelFile(NamedTuple):
    """A label file and its split."""

    split: str
    path: Path


def label_files(root: Path) -> tuple[list[LabelFile], list[Refusal]]:
    """Find the label files of a data set, train first.

    Args:
        root: a folder, or one label file.

    Returns:
        The label files, and a row for each file and folder of a split that is not used.

    Raises:
        ValueError: there is none, two are of one split, or a split can't be told; says what to rename.
    """
    if root.is_file():
        return [LabelFile(_split_of_file(root, root.parent) or "train", root)], []
    files = json_files(root)
    if not files:
        raise ValueError(
            f"{root}: expected SPLIT.json beside SPLIT/, one .json beside images/, "
            f"annotations/instances_SPLIT.json or SPLIT/_annotations.coco.json; found {_names(root)}"
        )
    unused = []
    if len(files) > 1:
        strange = [f for f in files if _split_of_file(f, root) is None]
        unused = [f for f in strange if not is_coco(f)]
        files = [f for f in files if f not in unused] or files[:1]
    by_split: dict[str, Path] = {}
    for file in files:
        split = _split_of_file(file, root) or ("train" if len(files) == 1 else "")
        name = file.relative_to(root)
        if not split:
            raise ValueError(
                f"{root}: {name} is one of {len(files)} label files and its name tells no split; "
                "rename it to train.json, validation.json or test.json"
            )
        if other := by_split.get(split):
            raise ValueError(
                f"{root}: {other.relative_to(root)} and {name} are both of the split {split}; "
                "keep one, or merge them"
            )
        by_split[split] = file
    found = [LabelFile(s, by_split[s]) for s in ("train", "validation", "test") if s in by_split]
    return found, [*_rows(root, unused), *_unused_splits(root, set(by_split))]


def json_files(root: Path) -> list[Path]:
    """The JSON files in ``root`` and in its direct sub-folders, hidden ones left out.

    Raises:
        ValueError: a sub-folder has one for each image, as labelme and DeepFashion2 write them.
    """
    files = _json_in(root)
    for folder in _folders(root):
        below = _json_in(folder)
        if len(below) >= _ONE_PER_IMAGE:
            raise ValueError(
                f"{folder}: holds {len(below)} .json files, such as {below[0].name}; expected one COCO "
                "file for all images of a split: convert them"
            )
        files += below
    return files


def image_folder(root: Path, label: LabelFile, names: Iterable[object]) -> Path:
    """The folder that a file's image names are relative to: the first in which one of them lies.

    Args:
        root: the data set's folder.
        label: the label file.
        names: the images' ``file_name``; the first hundred are looked for.
    """
    probed = []
    for name in names:
        try:
            probed.append(inside(name))
        except Refused:
            continue
        if len(probed) == _PROBED:
            break
    candidates = [f for f in dict.fromkeys(_candidates(root, label)) if f.is_dir()]
    for folder in candidates:
        if any(is_file(folder / name) for name in probed):
            return folder
    return candidates[0]


def _candidates(root: Path, label: LabelFile) -> Iterator[Path]:
    """Folders that may hold the images of a label file, the most particular ones first."""
    here = label.path.parent
    for base in dict.fromkeys((here, root)):
        named = [f for f in _folders(base) if split_of(f.name) == label.split]
        for folder in (base / label.path.stem, *named):
            yield from (folder / name for name in IMAGE_FOLDERS)
            yield folder
        for name in IMAGE_FOLDERS:
            if (base / name).is_dir():
                yield from (f for f in _folders(base / name) if _is_of(f.name, label))
                yield base / name
    yield from (here, root)


def _is_of(folder: str, label: LabelFile) -> bool:
    """Whether a folder's name tells the split, or ends the label file's name: CVAT's ``default``."""
    return split_of(folder) == label.split or label.path.stem.endswith(f"_{folder}")


def _split_of_file(file: Path, root: Path) -> str | None:
    """The split that the file's name tells, or else that of the sub-folder of ``root`` it is in."""
    return split_of(file.stem) or (split_of(file.parent.name) if file.parent != root else None)


def is_coco(file: Path) -> bool:
    """Whether a file is a COCO file, or broken, so that it must be read to say so."""
    lists: list[str] = []
    try:
        for _ in elements(mapped(file), lists):
            if {"images", "annotations"} <= set(lists):
                return True
    except Refused as refused:
        return refused.reason is Reason.NOT_JSON
    return {"images", "annotations"} <= set(lists)


def _rows(root: Path, unused: list[Path]) -> list[Refusal]:
    said = Refused(Reason.UNUSED, "no COCO file: it has no lists images and annotations", 0)
    return [said.row("", f.relative_to(root).as_posix()) for f in unused]


def _unused_splits(root: Path, used: set[str]) -> Iterator[Refusal]:
    """A row for each folder of images whose name tells a split without labels."""
    inner = [f for name in IMAGE_FOLDERS if (root / name).is_dir() for f in _folders(root / name)]
    for folder in [*_folders(root), *inner]:
        split = split_of(folder.name)
        if split and split not in used and _holds_images(folder):
            said = f"no label file tells the split {split}; name one {split}.json"
            yield Refused(Reason.UNUSED, said, 0).row(split, folder.relative_to(root).as_posix())


def _holds_images(folder: Path) -> bool:
    places = [folder, *(folder / name for name in IMAGE_FOLDERS)]
    return any(
        f.suffix.lower() in PHOTO_SUFFIXES
        for place in places
        if place.is_dir()
        for f in place.iterdir()
    )


def _json_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.lower().endswith(".json")]
    return [folder / name for name in sorted(names) if _is_visible(name)]


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir()]
    return [folder / name for name in sorted(names) if _is_visible(name)]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and not is_junk(name) and name != "__MACOSX"


def _names(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir())[:5]
