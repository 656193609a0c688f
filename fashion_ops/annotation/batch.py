"""A batch in DeepFashion2's layout, which ``batches`` and ``ingest`` read, from annotated photos."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fashion_ops.annotation.files import file_names
from fashion_ops.annotation.photos import GRADES, AnnotatedPhoto, category_of
from fashion_ops.catalog.quarantine import Refusal
from fashion_ops.catalog.sources.base import Item
from fashion_ops.files.publishing import publish

_MOST_NAMED = 3


class LabelError(ValueError):
    """An export cannot be taken; the message names file, record, value and mend."""


@dataclass
class BatchTotals:
    """What was written, and what of the export was no label of a garment."""

    photos: dict[str, int] = field(default_factory=dict)  # by split
    negatives: int = 0
    garments: int = 0
    notes: list[str] = field(default_factory=list)


def write_batch(photos: Iterable[AnnotatedPhoto | Refusal], target: Path) -> BatchTotals:
    """Write SPLIT/image and SPLIT/annos for checked photos; all of them or nothing.

    Raises:
        LabelError: a record is refused, or there is no photo.
        OutputRefused: ``target`` is not new.
        OSError: a file cannot be read or written.
    """
    with batch_published(photos, target) as totals:
        return totals


@contextmanager
def batch_published(photos: Iterable[AnnotatedPhoto | Refusal], target: Path) -> Iterator[BatchTotals]:
    """Write a batch as ``write_batch`` does; it gets its name ``target`` when the block ends.

    Raises:
        LabelError: a record is refused, or there is no photo.
        OutputRefused: ``target`` is not new.
        OSError: a file cannot be read or written.
    """
    totals, taken = BatchTotals(), _taken(photos)
    totals.notes = [f"{row.file}: {row.value}" for row in taken.unused]
    with publish(target, new=True) as fresh:
        for split in dict.fromkeys(photo.split for photo in taken.photos):
            of_split = [photo for photo in taken.photos if photo.split == split]
            names = file_names((photo.name for photo in of_split), flat=True)
            for kind in ("image", "annos"):
                (fresh / split / kind).mkdir(parents=True)
            for photo, name in zip(of_split, names, strict=True):
                (fresh / split / "image" / name).write_bytes(photo.load())
                annos = fresh / split / "annos" / f"{Path(name).stem}.json"
                annos.write_bytes(orjson.dumps(annotation(photo), option=orjson.OPT_INDENT_2))
                totals.garments += len(photo.labels.items)
                totals.negatives += not photo.labels.items
            totals.photos[split] = len(of_split)
        yield totals


@dataclass(frozen=True)
class _Taken:
    photos: list[AnnotatedPhoto]
    unused: list[Refusal]


def _taken(photos: Iterable[AnnotatedPhoto | Refusal]) -> _Taken:
    """The photos, if nothing of them is refused.

    Raises:
        LabelError: something is, or there are none.
    """
    taken, unused, refused = [], [], []
    for photo in photos:
        if isinstance(photo, AnnotatedPhoto):
            taken.append(photo)
        else:
            (refused if photo.num_records else unused).append(photo)
    if refused:
        raise LabelError(refused_line(refused))
    if not taken:
        said = "; ".join(f"{row.file}: {row.value}" for row in unused[:_MOST_NAMED])
        raise LabelError(f"no labelled photo was found{f': {said}' if said else ''}")
    return _Taken(taken, unused)


def refused_line(rows: list[Refusal]) -> str:
    """The first refused records in one line, and how many there are."""
    named = [f"{row.place}: {row.reason}: {row.value}" for row in rows[:_MOST_NAMED]]
    more = len(rows) - len(named)
    return "; ".join(named) + (f"; and {more} more; nothing is written" if more else "")


def annotation(photo: AnnotatedPhoto) -> dict[str, Any]:
    """The content of DeepFashion2's label file of a photo, and where its labels come from."""
    items = {f"item{n}": _item(item) for n, item in enumerate(photo.labels.items, 1)}
    for item, known in zip(items.values(), photo.item_provenance, strict=False):
        item.update(known)
    labels = {"source": photo.labels.source, "pair_id": photo.labels.pair_id}
    return {**labels, **photo.provenance, **items}


def _item(item: Item) -> dict[str, Any]:
    kind = category_of(item)
    return {
        "category_id": kind.id,
        "category_name": kind.label,
        "bounding_box": _short(item.box),
        "landmarks": _short(item.landmarks),
        "segmentation": [_short(polygon) for polygon in item.polygons],
        **{grade: getattr(item, grade) for grade in GRADES},
    }


def _short(values: Iterable[float]) -> list[float]:
    """Numbers, the whole ones without a fraction, as in the data set."""
    return [int(v) if float(v).is_integer() else float(v) for v in values]
