"""Accepted batches of new data: folders in one of the other layouts.

``root`` is the folder that holds ``batches/``; each folder below that is a batch, ``0001-NAME``,
numbered in the order of arrival. Images and label files of a batch are named by their path below
``root``, so that the path tells the batch, and their ids are offset by the number of the batch.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from fashion_ops.catalog.quarantine import Refusal
from fashion_ops.catalog.sources import coco, deepfashion2
from fashion_ops.catalog.sources.base import Entry, Labels, Listing, is_junk

BATCHES = "batches"
LAYOUTS = {"deepfashion2": deepfashion2.entries, "coco": coco.entries}
ID_RANGE = 10**10  # ids of one batch; the number of the batch is multiplied by it
_NAME = re.compile(r"(\d{4,})-[\w.-]+")
_FILE = re.compile(rf"{BATCHES}/(\d{{4,}}-[\w.-]+)/")


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """An entry of a batch, with paths relative to the folder that holds all batches."""

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
    """Yield all images of all batches, in the order of arrival.

    Raises:
        ValueError: a batch is in none of the layouts.
    """
    for folder in folders(root / BATCHES):
        for entry in LAYOUTS[layout(folder)](folder):
            if isinstance(entry, Refusal):
                yield entry._replace(file=f"{BATCHES}/{folder.name}/{entry.file}")
            else:
                yield BatchEntry(entry, folder.name)


def folders(batches: Path) -> list[Path]:
    """The folders of the batches below ``batches``, in the order of arrival."""
    if not batches.is_dir():
        return []
    named = [f for f in batches.iterdir() if f.is_dir() and _NAME.fullmatch(f.name)]
    return sorted(named, key=lambda folder: (number(folder.name), folder.name))


def number(batch: str) -> int:
    """Number of a batch by its name: ``0007-shop`` -> 7."""
    return int(batch.partition("-")[0])


def batch_of(file_name: str) -> str:
    """Name of the batch of an image of the catalog; "" for images of ``ingest.root``."""
    match = _FILE.match(file_name)
    return match.group(1) if match else ""


def layout(folder: Path) -> str:
    """The layout of the batch in ``folder``, ``deepfashion2`` or ``coco``.

    Raises:
        ValueError: it is neither.
    """
    if any((folder / split / "annos").is_dir() for split in deepfashion2.SPLITS):
        return "deepfashion2"
    if any(not is_junk(file.name) for file in folder.glob("*.json")):
        return "coco"
    raise ValueError(
        f"{folder}: neither DeepFashion2's layout (train/image, train/annos) nor COCO's (train.json "
        f"beside train/); it holds {sorted(p.name for p in folder.iterdir())[:5]}"
    )
