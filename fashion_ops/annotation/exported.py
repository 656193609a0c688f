"""What is exported: labels of the catalog, labels of a folder, or photos without labels."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fashion_ops.annotation.files import photos_below
from fashion_ops.annotation.photos import GRADES, AnnotatedPhoto, Read, checked, noted
from fashion_ops.annotation.upright import as_labelled
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.sources import SOURCES
from fashion_ops.catalog.sources.base import Entry, Item, Labels, split_of
from fashion_ops.catalog.sources.batches import layout

_FOLDERS = {"image", "images", "batches", "data"}  # of layouts; they tell nothing of a photo


def catalog_photos(catalog: Catalog, split: str | None = None) -> Iterator[AnnotatedPhoto]:
    """The photos of a catalog, in its order.

    Args:
        catalog: from ``ingest``.
        split: its photos only; None for all.
    """
    images = catalog.images
    if split is not None:
        images = images[images["split"] == split]
    garments = dict(iter(catalog.garments.groupby("image_id", sort=False)))
    for row in images.itertuples(index=False):
        rows: Any = row
        image_id, own = int(rows.image_id), garments.get(rows.image_id)
        items = [] if own is None else [_item(g) for g in own.itertuples(index=False)]
        yield AnnotatedPhoto(
            short_name(rows.file_name),
            partial(catalog.image_bytes, image_id),
            (int(rows.width), int(rows.height)),
            Labels(items, rows.source, int(rows.pair_id)),
            rows.split,
            place=rows.file_name,
        )


def _item(row: Any) -> Item:
    """A garment of the catalog."""
    item = Item(
        row.item,
        int(row.category_id),
        "",
        _floats(row.box),
        _floats(row.landmarks),
        [_floats(polygon) for polygon in row.polygons],
    )
    return item._replace(**{grade: int(getattr(row, grade)) for grade in GRADES})


def _floats(values: Any) -> list[float]:
    return np.asarray(values, float).tolist()


def folder_photos(folder: Path) -> Read:
    """The labelled photos of a folder in DeepFashion2's layout or COCO's, checked as in ``ingest``.

    Raises:
        ValueError: it is in neither layout.
    """
    yield from checked(_listed(folder))


def _listed(folder: Path) -> Read:
    for entry in SOURCES[layout(folder)](folder):
        if isinstance(entry, Refusal):
            yield entry
            continue
        try:
            yield from entry_photos(folder, entry, folder / entry.image)
        except Refused as refused:
            yield refused.row(entry.split, entry.file)


def entry_photos(root: Path, entry: Entry, path: Path) -> Read:
    """The photo of an entry of a source of ``ingest``, and a row for its crowd regions.

    Args:
        root: folder that the entry's paths are relative to.
        entry: the photo and its labels.
        path: where the photo lies.

    Raises:
        Refused: the labels or the photo cannot be read.
    """
    labels = entry.read(root)
    if not entry.image:
        raise Refused(Reason.NO_IMAGE, "no photo of its name; put it there, or delete the labels")
    load, size = as_labelled(path, labels.size, shown=False)
    if labels.crowds:
        count = len(labels.crowds)
        yield noted(
            entry.file,
            f"{count} crowd regions of {entry.image}, which are no garments and are not used",
        )
    name = short_name(entry.image)
    place = f"{entry.file} {name}"
    yield AnnotatedPhoto(name, load, size, labels, entry.split, place=place)


def unlabelled_photos(folder: Path) -> list[Path]:
    """The photos in a folder and below.

    Raises:
        ValueError: there are none.
    """
    photos = list(photos_below(folder))
    if not photos:
        raise ValueError(f"{folder}: holds no photos; name a folder of .jpg or .png files")
    return photos


def short_name(file_name: str) -> str:
    """A photo's path without the folders that are of a layout or tell its split."""
    *folders, last = PurePosixPath(file_name).parts
    kept = [f for f in folders if f.lower() not in _FOLDERS and not _is_split(f)]
    return "/".join((*kept, last))


def _is_split(folder: str) -> bool:
    return split_of(folder) is not None and re.fullmatch("[A-Za-z]+[0-9]*", folder) is not None
