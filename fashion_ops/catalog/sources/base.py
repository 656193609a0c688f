"""The interface of a source of labelled images: it lists entries, each of which reads its own labels.

A source is one function ``entries(root)`` that yields its images in a fixed order, and refusals for
faults in the listing. Entries are small and picklable; their labels are read later, in a worker.
Sources convert boxes to x1, y1, x2, y2 but check no values: ``checks`` does.
"""

import errno
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import orjson

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused, is_utf8
from fashion_ops.errors.reading import unpack

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif")
)
# Photos too, which neither OpenCV nor Pillow reads: they are refused by name, not passed over.
UNREAD_SUFFIXES = frozenset(
    (".heic", ".heif", ".hif", ".jxl", ".gif", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw")
)
PHOTO_SUFFIXES = IMAGE_SUFFIXES | UNREAD_SUFFIXES
_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "validate", "valid", "val", "dev", "development"),
    "test": ("test", "testing"),
}
_SPLITS = {word: split for split, words in _SPLIT_WORDS.items() for word in words}
_EXACT = 1 << 53  # larger whole floats may stand for several integers
_JUNK = frozenset((".ds_store", "thumbs.db", "desktop.ini"))


class Item(NamedTuple):
    """One labelled garment as the source gives it; no value is checked yet, hence ``Any``."""

    name: str  # item1, item2, ... or the COCO annotation id
    category: Any  # 1..13
    category_name: Any  # "" where the source has none
    box: Any  # [x1, y1, x2, y2]
    landmarks: Any  # [x, y, v] * num_landmarks, flat
    polygons: Any  # list of flat x, y lists
    scale: Any = 0
    occlusion: Any = 0
    zoom_in: Any = 0
    viewpoint: Any = 0
    style: Any = 0
    problem: Refused | None = None  # found by the source where the values do not show it


@dataclass(frozen=True, slots=True)
class Labels:
    """All labels of one image; without any, the image is a negative.

    Attributes:
        items: its garments.
        source: ``shop`` or ``user``; "" where the labels do not say.
        pair_id: -1 where the labels have none.
        size: (width, height) as the labels say, each None where they do not.
        crowds: names of its crowd annotations, which are regions to ignore and no garments.
    """

    items: list[Item]
    source: str = ""
    pair_id: int = -1
    size: tuple[Any, Any] = (None, None)
    crowds: tuple[str, ...] = ()


class Entry(Protocol):
    """One image of a split and the file of its labels. Paths are relative to the source's root."""

    @property
    def split(self) -> str: ...

    @property
    def image(self) -> str:
        """Path of the image; "" if the labels have no image."""
        ...

    @property
    def file(self) -> str:
        """Path of the label file."""
        ...

    @property
    def coco_id(self) -> int:
        """The image's id in the source, unique within its split."""
        ...

    def read(self, root: Path) -> Labels:
        """Read the labels; raises Refused if they cannot be read."""
        ...


Listing = Iterable[Entry | Refusal]


def parse_json(data: bytes) -> Any:
    """Parse JSON in UTF-8 (with or without a byte order mark) or UTF-16, plain or packed with gzip.

    NaN and Infinity are accepted, so that only the item that has them is refused. Integers beyond 64
    bits become floats; ``parse_exact`` keeps them.

    Raises:
        Refused: ``data`` is not JSON.
    """
    data = unpacked(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _parse(data, error, lambda s: int(s) if len(s) < 20 else float(s))


def parse_exact(data: bytes) -> Any:
    """Parse JSON as ``parse_json`` does, but integers keep all their digits, as in pycocotools.

    Raises:
        Refused: ``data`` is not JSON.
    """
    return _parse(unpacked(data), None, int)


def _parse(data: bytes, fault: Exception | None, parse_int: Callable[[str], int | float]) -> Any:
    try:
        return json.loads(data, parse_int=parse_int)
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.NOT_JSON, f"{fault or error} in {bytes(data[:40])!r}") from None


def unpacked(data: bytes) -> bytes:
    """The content of gzip bytes; other bytes as they are.

    Raises:
        Refused: they are damaged, or packed otherwise.
    """
    try:
        return unpack(data)
    except ValueError as error:
        raise Refused(Reason.NOT_JSON, str(error)) from None


def identity(value: object) -> int | str | None:
    """The id that ``value`` stands for; None if it is none.

    Ids are compared as pycocotools compares them: 1.0 is 1, and the text "1" is not 1. Whole floats
    beyond 2^53 are no ids, because one may stand for several integers.
    """
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value if type(value) in (int, str) else None  # type: ignore[return-value]


def split_of(name: str) -> str | None:
    """The split that a word of a file's or folder's name tells: ``instances_val2017`` -> validation.

    Returns:
        train, validation or test; None if no word tells a split, or two tell different ones.
    """
    found = {_SPLITS[word] for word in re.findall("[a-z]+", name.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def integer(value: object, default: int = -1) -> int:
    """``value`` if it is an integer of at most 63 bits, else ``default``."""
    return value if type(value) is int and abs(value) < 1 << 63 else default


def inside(name: object) -> str:
    """``name`` if it is a relative path that stays below its folder.

    Raises:
        Refused: it is absolute, has ``..``, is not UTF-8, or is no file name at all.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise Refused(Reason.SHAPE, f"file name {name!r}")
    if not is_utf8(name):
        raise Refused(Reason.NAME, f"{name} is not UTF-8")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise Refused(Reason.OUTSIDE, name)
    return str(path)


def is_file(path: Path) -> bool:
    """Whether a file has this name; one that is too long for any is that of none."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def is_junk(name: str) -> bool:
    """Whether a file is one that macOS or Windows writes beside the user's: by its name or folder."""
    *folders, last = name.replace("\\", "/").split("/")
    return last.startswith("._") or last.lower() in _JUNK or "__MACOSX" in folders
