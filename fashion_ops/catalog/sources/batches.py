"""Accepted batches of new data: folders in one of the other layouts, one after the other.

``root`` is the folder that holds ``batches/``; below that every folder is a batch, ``0001-NAME``,
numbered in the order in which they came. A batch's images and label files go by their path below
``root``, which says which batch they are of, and their ids are moved out of each other's way.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from fashion_ops.catalog.sources import coco, deepfashion2
from fashion_ops.catalog.sources.base import Entry, Labels, Listing

BATCHES = "batches"
LAYOUTS = {"deepfashion2": deepfashion2.entries, "coco": coco.entries}
ID_RANGE = 10**10  # ids of one batch; a batch's number counts above it
_NAME = re.compile(r"(\d{4,})-[\w.-]+")
_FILE = re.compile(rf"{BATCHES}/(\d{{4,}}-[\w.-]+)/")


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """An entry of a batch, seen from the folder that holds all of them."""

    entry: Entry
    batch: str

    @property
    def split(self) -> str:
        return self.entry.split

    @property
    def image(self) -> str:
        return f"{BATCHES}/{self.batch}/{self.entry.image}" if self.entry.image else ""

    @property
    def file(self) -> str:
        return f"{BATCHES}/{self.batch}/{self.entry.file}"

    @property
    def coco_id(self) -> int:
        return number(self.batch) * ID_RANGE + self.entry.coco_id

    def read(self, root: Path) -> Labels:
        """The labels of the entry."""
        return self.entry.read(root / BATCHES / self.batch)


def entries(root: Path) -> Listing:
    """All images of all batches, in the order in which they came.

    Raises:
        ValueError: a batch is in none of the layouts.
    """
    for folder in folders(root / BATCHES):
        for entry in LAYOUTS[layout(folder)](folder):
            if isinstance(entry, tuple):  # a refusal
                yield entry._replace(file=f"{BATCHES}/{folder.name}/{entry.file}")
            else:
                yield BatchEntry(entry, folder.name)


def folders(batches: Path) -> list[Path]:
    """The batches below a folder, in the order in which they came."""
    if not batches.is_dir():
        return []
    found = [f for f in batches.iterdir() if f.is_dir() and _NAME.fullmatch(f.name)]
    return sorted(found, key=lambda folder: (number(folder.name), folder.name))


def number(batch: str) -> int:
    """``0007-shop`` -> 7."""
    return int(batch.partition("-")[0])


def batch_of(file_name: str) -> str:
    """The batch that an image of the catalog came with; empty for one of ``ingest.root``."""
    found = _FILE.match(file_name)
    return found.group(1) if found else ""


def layout(folder: Path) -> str:
    """``deepfashion2`` or ``coco``.

    Raises:
        ValueError: it is neither.
    """
    if any((folder / split / "annos").is_dir() for split in deepfashion2.SPLITS):
        return "deepfashion2"
    if any(folder.glob("*.json")):
        return "coco"
    raise ValueError(
        f"{folder}: neither DeepFashion2's layout (train/image, train/annos) nor COCO's (train.json "
        f"beside train/); it holds {sorted(p.name for p in folder.iterdir())[:5]}"
    )
