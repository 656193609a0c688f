"""From a source of alignment data to a catalog: opens images, numbers, writes, and adds up.

Written in the order of the primary list, so the same data gives the same bytes. A record whose
image is missing, cut off or not decodable goes to quarantine with the line that names it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from fashion_ops.catalog import schemas as base_schemas
from fashion_ops.catalog import tables
from fashion_ops.catalog.alignment import schemas
from fashion_ops.catalog.alignment.records import Record, fit_to_image
from fashion_ops.catalog.alignment.refusals import Reason, Refusal, Refused
from fashion_ops.catalog.alignment.sources import SOURCES, Listing
from fashion_ops.catalog.alignment.sources.base import Pair
from fashion_ops.catalog.images import probe_bytes, probe_file
from fashion_ops.catalog.quarantine import Reason as ImageReason
from fashion_ops.catalog.quarantine import Refused as RefusedImage
from fashion_ops.catalog.shards import ShardWriter

_BATCH = 512
_WRITERS = (
    ("images", tables.IMAGES, base_schemas.IMAGES),
    ("garments", schemas.GARMENTS_LAYOUT, schemas.GARMENTS),
    ("attributes", schemas.ATTRIBUTES_LAYOUT, schemas.ATTRIBUTES),
    ("pairs", schemas.PAIRS_LAYOUT, schemas.PAIRS),
    ("quarantine", schemas.QUARANTINE_LAYOUT, schemas.QUARANTINE),
)


@dataclass
class Totals:
    """What came in and where it went: ``records`` are ``garments`` and ``quarantined`` together."""

    records: int = 0
    garments: Counter[str] = field(default_factory=Counter)  # by split
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Refusal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Opened:
    record: Record
    width: int
    height: int
    data: bytes  # empty where images stay in place


def ingest(
    source: str,
    root: Path,
    folder: Path,
    *,
    path_prefix: str | None,
    shard_mb: int,
    progress: Callable[[Iterable[Record]], Iterable[Record]] = iter,
) -> Totals:
    """Write the tables and shards of one data set into ``folder``.

    Args:
        source: a name in ``SOURCES``.
        root: the data set.
        folder: exists and is empty.
        path_prefix: None copies the images into shards; else they stay where they are, each path
            recorded as this prefix plus its name below ``root``.
        shard_mb: upper size of a shard, MiB.
        progress: wraps the records as they are opened.

    Raises:
        ValueError: a list that the source needs is missing or has no row count.
        RuntimeError: records were lost or counted twice; a fault of this program.
    """
    listing = SOURCES[source](root)
    totals = Totals(listing.count)
    refusals = listing.refusals
    ids: dict[str, int] = {}
    with ExitStack() as stack:
        write = {
            name: stack.enter_context(tables.TableWriter(folder / f"{name}.parquet", layout, schema))
            for name, layout, schema in _WRITERS
        }
        copy = path_prefix is None
        shards = stack.enter_context(ShardWriter(folder / "shards", shard_mb)) if copy else None
        for batch in _batches(_opened(progress(listing.records), root, copy, refusals)):
            numbers = np.arange(write["images"].rows, write["images"].rows + len(batch)) + 1
            nowhere = np.full(len(batch), -1, np.int32)
            place = shards.append(numbers, [o.data for o in batch]) if shards else (nowhere, nowhere)
            write["images"].append(_images(batch, numbers, *place, path_prefix))
            write["garments"].append(_garments(batch, numbers))
            ids.update(zip([o.record.name for o in batch], numbers.tolist(), strict=True))
            totals.garments.update(o.record.split for o in batch)
        write["attributes"].append(_attributes(listing))
        write["pairs"].append(_pairs(listing.pairs, ids, refusals))
        write["quarantine"].append(_quarantine(refusals))
    for refusal in refusals:
        totals.quarantined += refusal.num_records
        totals.reasons[refusal.reason] += max(1, refusal.num_records)
        totals.examples.setdefault(refusal.reason, refusal)
    if totals.records != totals.garments.total() + totals.quarantined:
        raise RuntimeError(
            f"{root}: {totals.records} records came in, but {totals.garments.total()} garments and "
            f"{totals.quarantined} quarantined came out"
        )
    return totals


def _opened(
    records: Iterable[Record], root: Path, copy: bool, refusals: list[Refusal]
) -> Iterator[_Opened]:
    for record in records:
        try:
            data, size = b"", (0, 0)
            try:
                if copy:
                    data = _read(root / record.image)
                    size = probe_bytes(data)
                else:
                    size = probe_file(root / record.image)
            except RefusedImage as refused:
                raise Refused(refused.reason, f"{record.image}: {refused.value}") from None
            fit_to_image(record, *size)
            yield _Opened(record, *size, data)
        except Refused as refused:
            own = record.box_at if refused.reason == Reason.BOX_OUTSIDE else ("", 0)
            file, line = own if own[0] else (record.file, record.line)
            refusals.append(refused.at(file, line, record.name, record.split))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RefusedImage(ImageReason.MISSING, error.strerror or "cannot be opened") from None


def _batches(opened: Iterator[_Opened]) -> Iterator[list[_Opened]]:
    batch: list[_Opened] = []
    for one in opened:
        batch.append(one)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _images(
    batch: list[_Opened], ids: np.ndarray, shards: np.ndarray, rows: np.ndarray, prefix: str | None
) -> pa.Table:
    records = [o.record for o in batch]
    columns = {
        "image_id": ids,
        "split": [r.split for r in records],
        "file_name": [r.image for r in records],
        "coco_id": ids,
        "width": [o.width for o in batch],
        "height": [o.height for o in batch],
        "source": [r.source for r in records],
        "pair_id": np.full(len(batch), -1),
        "sha256": ["" if prefix is not None else hashlib.sha256(o.data).hexdigest() for o in batch],
        "shard": shards,
        "row": rows,
        "path": ["" if prefix is None else f"{prefix}/{r.image}" for r in records],
    }
    return pa.table(columns, schema=tables.IMAGES)


def _garments(batch: list[_Opened], ids: np.ndarray) -> pa.Table:
    records = [o.record for o in batch]
    columns = {
        "garment_id": ids,
        "image_id": ids,
        "split": [r.split for r in records],
        "item_id": [r.item_id for r in records],
        "source": [r.source for r in records],
        "clothes_type": [r.clothes_type for r in records],
        "variation": [r.variation for r in records],
        "pose": [r.pose for r in records],
        "category": [r.category for r in records],
        "box": [r.box.astype(np.float32) for r in records],
        "landmarks": [_flat(r.xy, r.visibility) for r in records],
        "codes": [r.codes for r in records],
        "num_labelled": [int((r.visibility > 0).sum()) for r in records],
        "attributes": [r.attributes for r in records],
        "joints": [r.joints.astype(np.float32).ravel() for r in records],
    }
    return pa.table(columns, schema=schemas.GARMENTS_LAYOUT)


def _flat(xy: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    return np.column_stack((xy, visibility)).astype(np.float32).ravel()


def _attributes(listing: Listing) -> pa.Table:
    columns = {
        "attribute_id": np.arange(len(listing.attributes)),
        "name": [a.name for a in listing.attributes],
        "kind": [a.kind for a in listing.attributes],
    }
    return pa.table(columns, schema=schemas.ATTRIBUTES_LAYOUT)


def _pairs(pairs: list[Pair], ids: dict[str, int], refusals: list[Refusal]) -> pa.Table:
    """Pairs whose two images are in the catalog; the others are reported, no further record lost."""
    kept = []
    for pair in pairs:
        missing = [name for name in (pair.consumer, pair.shop) if name not in ids]
        if missing:
            refused = Refused(Reason.NOT_LISTED, f"a pair's image was refused: {missing[0]}")
            refusals.append(refused.at(pair.file, pair.line, pair.consumer, pair.split, num_records=0))
        else:
            kept.append(pair)
    columns = {
        "consumer_image_id": [ids[p.consumer] for p in kept],
        "shop_image_id": [ids[p.shop] for p in kept],
        "item_id": [p.item_id for p in kept],
        "split": [p.split for p in kept],
    }
    return pa.table(columns, schema=schemas.PAIRS_LAYOUT)


def _quarantine(refusals: list[Refusal]) -> pa.Table:
    columns = {name: [getattr(r, name) for r in refusals] for name in Refusal._fields}
    return pa.table(columns, schema=schemas.QUARANTINE_LAYOUT)
