"""One chunk of a data set, read and checked: what a worker process does.

Ids are not given here: a chunk does not know how many garments the ones before it hold. Imports are
few, so that a fresh process is ready soon.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fashion_ops.catalog import tables
from fashion_ops.catalog.checks import Garments, Ragged, check_items
from fashion_ops.catalog.images import probe_bytes, probe_file
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.sources.base import Entry, Item, Labels


@dataclass(frozen=True)
class Chunk:
    """Checked tables without ids. ``picture_of``: row in ``images`` of each garment."""

    records: int
    images: pa.Table
    garments: pa.Table
    picture_of: np.ndarray
    refusals: list[Refusal]
    pictures: pa.Array | None


@dataclass(frozen=True, slots=True)
class _Picture:
    entry: Entry
    labels: Labels
    width: int
    height: int
    data: bytes


def read_chunk(entries: Sequence[Entry], root: Path, copy_images: bool) -> Chunk:
    """Read labels and pictures of ``entries`` and sort them into garments and refusals.

    Args:
        entries: of one source.
        root: the folder that their paths are relative to.
        copy_images: whether to read the pictures' bytes, or only their size.
    """
    refusals: list[Refusal] = []
    pictures: list[_Picture] = []
    records = 0
    for entry in entries:
        try:
            labels = entry.read(root)
        except Refused as refused:
            records += refused.num_records
            refusals.append(refused.row(entry.split, entry.file))
            continue
        count = max(1, len(labels.items))
        records += count
        try:
            pictures.append(_picture(entry, labels, root, copy_images))
        except Refused as refused:
            refusals.append(refused.row(entry.split, entry.image or entry.file, num_records=count))
    items = [item for p in pictures for item in p.labels.items]
    owner = np.repeat(np.arange(len(pictures)), [len(p.labels.items) for p in pictures])
    widths, heights = np.array([(p.width, p.height) for p in pictures], np.int32).reshape(-1, 2).T
    garments, refused_items = check_items(items, widths[owner], heights[owner])
    for i, refused in sorted(refused_items.items()):
        entry = pictures[owner[i]].entry
        refusals.append(refused.row(entry.split, entry.file, items[i].name))
    # A picture whose garments are all refused would teach a detector that there is nothing in it.
    kept, picture_of = np.unique(owner[garments.index], return_inverse=True)
    pictures = [pictures[i] for i in kept]
    return Chunk(
        records,
        _images_table(pictures, copy_images),
        _garments_table(garments, items, [pictures[i].entry.split for i in picture_of]),
        picture_of,
        refusals,
        pa.array([p.data for p in pictures], pa.binary()) if copy_images else None,
    )


def _picture(entry: Entry, labels: Labels, root: Path, copy_images: bool) -> _Picture:
    if not entry.image:
        raise Refused(Reason.NO_PICTURE, f"{entry.file} has no picture of its name")
    if not labels.items:
        raise Refused(Reason.NO_LABELS, f"{entry.file} holds no item")
    data = b""
    if copy_images:
        try:
            data = (root / entry.image).read_bytes()
        except OSError as error:
            raise Refused(Reason.MISSING, error.strerror or "cannot be opened") from None
        width, height = probe_bytes(data)
    else:
        width, height = probe_file(f"{root}/{entry.image}")
    if labels.size not in (None, (None, None), (width, height)):
        raise Refused(Reason.SIZE, f"picture {width}x{height}, labels say {labels.size}")
    return _Picture(entry, labels, width, height, data)


def _images_table(pictures: Sequence[_Picture], copy_images: bool) -> pa.Table:
    columns = {
        "split": [p.entry.split for p in pictures],
        "file_name": [p.entry.image for p in pictures],
        "coco_id": [p.entry.coco_id for p in pictures],
        "width": [p.width for p in pictures],
        "height": [p.height for p in pictures],
        "source": [p.labels.source for p in pictures],
        "pair_id": [p.labels.pair_id for p in pictures],
        "sha256": [hashlib.sha256(p.data).hexdigest() if copy_images else "" for p in pictures],
    }
    layout = pa.schema([tables.IMAGES.field(name) for name in columns])
    return pa.table(columns, schema=layout)


def _garments_table(garments: Garments, items: Sequence[Item], splits: list[str]) -> pa.Table:
    count = len(garments.index)
    columns = {
        "split": pa.array(splits, pa.string()),
        "item": pa.array([items[i].name for i in garments.index], pa.string()),
        "category_id": garments.category_id,
        "box": _lists(Ragged.of(garments.box.ravel(), np.full(count, 4))),
        "landmarks": _lists(garments.landmarks),
        "num_labelled": garments.num_labelled,
        "scale": garments.scale,
        "occlusion": garments.occlusion,
        "zoom_in": garments.zoom_in,
        "viewpoint": garments.viewpoint,
        "style": garments.style,
        "polygons": pa.ListArray.from_arrays(
            garments.polygons.offsets, _lists(garments.polygon_points)
        ),
    }
    return pa.table(columns)


def _lists(rows: Ragged) -> pa.ListArray:
    return pa.ListArray.from_arrays(rows.offsets, pa.array(rows.values))
