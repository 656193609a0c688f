"""One chunk of a data set, read and checked: the work of one task of a worker process.

Ids are not assigned here: a chunk does not know how many garments the chunks before it hold. Imports
are few (no pandas, and no Arrow, which would load pandas), so that a fresh process starts quickly.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fashion_ops.catalog.checks import CheckedGarments, check_items
from fashion_ops.catalog.images import CheckedImage, check_image, turned_by
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused, is_utf8
from fashion_ops.catalog.sources.base import Entry, Labels


@dataclass(frozen=True)
class Chunk:
    """The valid images and garments of a chunk, and what was refused.

    ``records`` is the number of garments and crowd regions read, valid or not. ``items`` has the name
    of each valid garment, ``image_of`` the index of its image in ``images``.
    """

    records: int
    images: list[CheckedImage]
    garments: CheckedGarments
    items: list[str]
    image_of: np.ndarray
    refusals: list[Refusal]


@contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """Parsed JSON has no cycles, only many objects that a collection would walk."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_garbage_collection_off()
def read_chunk(entries: Sequence[Entry], root: Path, copy_images: bool) -> Chunk:
    """Read labels and images of ``entries`` and sort them into garments and refusals.

    Args:
        entries: entries of one source.
        root: the folder that their paths are relative to.
        copy_images: whether to read the bytes of the images, or only their sizes.
    """
    refusals: list[Refusal] = []
    images: list[CheckedImage] = []
    sources: list[tuple[Entry, Labels]] = []
    records = 0
    for entry in entries:
        try:
            labels = entry.read(root)
        except Refused as refused:
            records += refused.num_records
            refusals.append(refused.row(entry.split, entry.file))
            continue
        count = len(labels.items) + len(labels.crowds)
        try:
            images.append(_read_image(entry, labels, root, copy_images))
        except Refused as refused:
            count = max(1, count)
            records += count
            refusals.append(refused.row(entry.split, entry.image or entry.file, num_records=count))
            continue
        records += count
        for name in labels.crowds:
            crowd = Refused(Reason.CROWD, "a region to ignore, no garment")
            refusals.append(crowd.row(entry.split, entry.file, name))
        sources.append((entry, labels))
    items = [item for _, labels in sources for item in labels.items]
    owner = np.repeat(np.arange(len(sources)), [len(labels.items) for _, labels in sources])
    widths, heights = np.array([(i.width, i.height) for i in images], np.int32).reshape(-1, 2).T
    garments, refused_items = check_items(items, widths[owner], heights[owner])
    for i, refused in sorted(refused_items.items()):
        entry = sources[owner[i]][0]
        refusals.append(refused.row(entry.split, entry.file, items[i].name))
    # An image whose labels gave no garment would teach a detector that it shows none; an image without
    # labels does show none.
    negative = [not labels.items and not labels.crowds for _, labels in sources]
    kept = np.union1d(owner[garments.index], np.flatnonzero(negative))
    image_of = np.searchsorted(kept, owner[garments.index])
    names = [items[i].name for i in garments.index]
    return Chunk(records, [images[i] for i in kept], garments, names, image_of, refusals)


def _read_image(entry: Entry, labels: Labels, root: Path, copy_images: bool) -> CheckedImage:
    if not entry.image:
        raise Refused(Reason.NO_IMAGE, f"{entry.file} has no image of its name")
    if not is_utf8(entry.image):
        raise Refused(Reason.NAME, f"{entry.image} is not UTF-8; rename it")
    image = check_image(
        root,
        entry.image,
        copy_images,
        split=entry.split,
        coco_id=entry.coco_id,
        source=labels.source,
        pair_id=labels.pair_id,
    )
    for said, stored in zip(labels.size, (image.width, image.height), strict=True):
        if said is not None and said != stored:
            turned = turned_by(f"{root}/{entry.image}")
            is_turned = turned and labels.size == (image.height, image.width)
            raise Refused(
                Reason.SIZE,
                f"image {image.width}x{image.height}, labels say {labels.size}"
                + (f": {turned}; save the photo turned, without EXIF" if is_turned else ""),
            )
    return image
