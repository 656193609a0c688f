"""What every source of labelled images offers: entries, each of which can read its own labels.

A source is one function ``entries(root)`` that lists its images in a fixed order and says at once
what is wrong with the listing. Entries are small and picklable; their labels are read later, in a
worker. Sources convert to the house's coordinates (box as x1, y1, x2, y2) but check nothing about
the values: ``checks`` does.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import orjson

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))


class Item(NamedTuple):
    """One labelled garment as the source gives it; nothing is checked yet, hence ``Any``."""

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
    """All labels of one image. ``size``: (width, height) where the labels say it."""

    items: list[Item]
    source: str = ""
    pair_id: int = -1
    size: tuple[Any, Any] | None = None


class Entry(Protocol):
    """One image of a split and the way to its labels. Paths are relative to the source's root."""

    @property
    def split(self) -> str: ...

    @property
    def image(self) -> str:
        """The image; "" where labels have none."""
        ...

    @property
    def file(self) -> str:
        """The file that a refusal of the labels names."""
        ...

    @property
    def coco_id(self) -> int:
        """The image's id in the source, unique within its split."""
        ...

    def read(self, root: Path) -> Labels:
        """Raises Refused when the labels can't be read."""
        ...


Listing = Iterable[Entry | Refusal]


def parse_json(data: bytes) -> Any:
    """JSON from ``data``; NaN and Infinity pass, so that only the item that holds them is refused.

    Raises:
        Refused: not JSON.
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
        Refused: it is absolute, climbs with ``..``, or is no file name at all.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise Refused(Reason.SHAPE, f"file name {name!r}")
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise Refused(Reason.OUTSIDE, name)
    return str(path)
