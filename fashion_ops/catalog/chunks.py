"""One chunk of a data set, read and checked: what a worker process does.

Ids are not given here: a chunk does not know how many garments the ones before it hold. Imports are
few (no pandas, no Arrow, which would load pandas), so that a fresh process is ready soon.
"""

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fashion_ops.catalog.checks import Garments, check_items
from fashion_ops.catalog.images import probe_bytes, probe_file, read_image
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.sources.base import Entry, Labels


@dataclass(frozen=True, slots=True)
class Image:
    """A sound image. ``data`` and ``sha256`` are empty where images are left in place."""

    split: str
    file_name: str
    coco_id: int
    width: int
    height: int
    source: str
    pair_id: int
    data: bytes
    sha256: str


@dataclass(frozen=True)
class Chunk:
    """What is sound in a chunk, and what is not. ``image_of``: row in ``images`` per garment."""

    records: int
    images: list[Image]
    garments: Garments
    items: list[str]  # name of each garment
    image_of: np.ndarray
    refusals: list[Refusal]


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: parsed JSON has no cycles, only many objects to walk."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_uncollected()
def read_chunk(entries: Sequence[Entry], root: Path, copy_images: bool) -> Chunk:
    """Read labels and images of ``entries`` and sort them into garments and refusals.

    Args:
        entries: of one source.
        root: the folder that their paths are relative to.
        copy_images: whether to read the images' bytes, or only their size.
    """
    refusals: list[Refusal] = []
    images: list[Image] = []
    sources: list[tuple[Entry, Labels]] = []
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
            images.append(_image(entry, labels, root, copy_images))
        except Refused as refused:
            refusals.append(refused.row(entry.split, entry.image or entry.file, num_records=count))
            continue
        sources.append((entry, labels))
    items = [item for _, labels in sources for item in labels.items]
    owner = np.repeat(np.arange(len(sources)), [len(labels.items) for _, labels in sources])
    widths, heights = np.array([(p.width, p.height) for p in images], np.int32).reshape(-1, 2).T
    garments, refused_items = check_items(items, widths[owner], heights[owner])
    for i, refused in sorted(refused_items.items()):
        entry = sources[owner[i]][0]
        refusals.append(refused.row(entry.split, entry.file, items[i].name))
    # An image whose garments are all refused would teach a detector that there is nothing in it.
    kept, image_of = np.unique(owner[garments.index], return_inverse=True)
    names = [items[i].name for i in garments.index]
    return Chunk(records, [images[i] for i in kept], garments, names, image_of, refusals)


def _image(entry: Entry, labels: Labels, root: Path, copy_images: bool) -> Image:
    if not entry.image:
        raise Refused(Reason.NO_IMAGE, f"{entry.file} has no image of its name")
    if not labels.items:
        raise Refused(Reason.NO_LABELS, f"{entry.file} holds no item")
    data = b""
    if copy_images:
        data = read_image(f"{root}/{entry.image}")
        width, height = probe_bytes(data)
    else:
        width, height = probe_file(f"{root}/{entry.image}")
    if labels.size not in (None, (None, None), (width, height)):
        raise Refused(Reason.SIZE, f"image {width}x{height}, labels say {labels.size}")
    return Image(
        entry.split,
        entry.image,
        entry.coco_id,
        width,
        height,
        labels.source,
        labels.pair_id,
        data,
        hashlib.sha256(data).hexdigest() if copy_images else "",
    )
