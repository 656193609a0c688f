"""The interface of a source of labelled images: it lists entries, each of which reads its own labels.

A source is one function ``entries(root)`` that yields its images in a fixed order, and refusals for
faults in the listing. Entries are small and picklable; their labels are read later, in a worker.
Sources convert boxes to x1, y1, x2, y2 but check no values: ``checks`` does.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import orjson

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused, is_utf8

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))
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


@dataclass(frozen=True, slots=True)
class Labels:
    """All labels of one image. ``size``: (width, height) if the labels have it."""

    items: list[Item]
    source: str = ""
    pair_id: int = -1
    size: tuple[Any, Any] | None = None


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
    """Parse JSON; NaN and Infinity are accepted, so that only the item that has them is refused.

    Raises:
        Refused: ``data`` is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(data, parse_int=lambda s: int(s) if len(s) < 20 else float(s))
        except (ValueError, RecursionError):
            raise Refused(Reason.NOT_JSON, f"{error} in {data[:40]!r}") from None


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


def is_junk(name: str) -> bool:
    """Whether a file is one that macOS or Windows writes beside the user's: by its name or folder."""
    *folders, last = name.replace("\\", "/").split("/")
    return last.startswith("._") or last.lower() in _JUNK or "__MACOSX" in folders
