"""Accepted batches of new data: folders in one of the other layouts.

``root`` is the folder that holds ``batches/``; each folder below that is a batch, ``0001-NAME``,
numbered in the order of arrival. Images and label files of a batch are named by their path below
``root``, so that the path tells the batch, and their ids are offset by the number of the batch.
"""

from dataclasses import dataclass
from pathlib import Path

from fashion_ops.catalog.origin_names import BATCH, BATCHES
from fashion_ops.catalog.quarantine import Refusal
from fashion_ops.catalog.sources import coco, deepfashion2
from fashion_ops.catalog.sources.base import Entry, Labels, Listing
from fashion_ops.catalog.sources.layouts import json_files

LAYOUTS = {"deepfashion2": deepfashion2.entries, "coco": coco.entries}
ID_RANGE = 10**10  # ids of one batch; the number of the batch is multiplied by it


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """An entry of a batch, with paths relative to the folder that holds all batches."""

    entry: Entry
    batch: str
    id_in_batch: int  # its id, or its position where an id of the batch is beyond ID_RANGE

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
        return number(self.batch) * ID_RANGE + self.id_in_batch

    def read(self, root: Path) -> Labels:
        """The labels of the entry."""
        return self.entry.read(root / BATCHES / self.batch)


def entries(root: Path) -> Listing:
    """Yield all images of all batches, in the order of arrival.

    Raises:
        ValueError: a batch is in none of the layouts.
    """
    for folder in folders(root / BATCHES):
        listing = list(LAYOUTS[layout(folder)](folder))
        whole = all(e.coco_id < ID_RANGE for e in listing if not isinstance(e, Refusal))
        for position, entry in enumerate(listing, 1):
            if isinstance(entry, Refusal):
                yield entry._replace(file=f"{BATCHES}/{folder.name}/{entry.file}")
            else:
                yield BatchEntry(entry, folder.name, entry.coco_id if whole else position)


def folders(batches: Path) -> list[Path]:
    """The folders of the batches below ``batches``, in the order of arrival."""
    if not batches.is_dir():
        return []
    named = [f for f in batches.iterdir() if f.is_dir() and BATCH.fullmatch(f.name)]
    return sorted(named, key=lambda folder: (number(folder.name), folder.name))


def number(batch: str) -> int:
    """Number of a batch by its name: ``0007-shop`` -> 7."""
    return int(batch.partition("-")[0])


def layout(folder: Path) -> str:
    """The layout of the batch in ``folder``, ``deepfashion2`` or ``coco``.

    Raises:
        ValueError: it is neither.
    """
    if any((below / "annos").is_dir() for below in folder.iterdir()):
        return "deepfashion2"
    if json_files(folder):
        return "coco"
    raise ValueError(
        f"{folder}: neither DeepFashion2's layout (train/image, train/annos) nor COCO's (train.json "
        f"beside train/); it holds {sorted(p.name for p in folder.iterdir())[:5]}"
    )
