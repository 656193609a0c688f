"""From a source of alignment data to a catalog: opens images, assigns ids, writes, and adds up.

Records are written in the order of the primary list, so the same data gives the same bytes. A record
whose image is missing, truncated or not decodable goes to quarantine with the line that names it.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from fashion_ops.catalog.alignment import schemas
from fashion_ops.catalog.alignment.records import Record, fit_to_image
from fashion_ops.catalog.alignment.sources import SOURCES
from fashion_ops.catalog.alignment.sources.base import Pair
from fashion_ops.catalog.images import CheckedImage, check_image
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.tables import table_of
from fashion_ops.catalog.writer import CatalogWriter, Totals

_BATCH = 512
_TABLES = {
    "garments": schemas.GARMENTS,
    "attributes": schemas.ATTRIBUTES,
    "pairs": schemas.PAIRS,
    "quarantine": schemas.QUARANTINE,
}


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
        root: the folder of the data set.
        folder: exists and is empty.
        path_prefix: None copies the images into shards; else they stay where they are, the path of
            each is recorded as this prefix plus its name below ``root``.
        shard_mb: upper size of a shard, MiB.
        progress: wraps the records as they are opened.

    Raises:
        ValueError: a list that the source needs is missing or has no row count.
        RuntimeError: records were lost or counted twice; a fault of this program.
    """
    listing = SOURCES[source](root)
    refusals = listing.refusals
    ids: dict[str, int] = {}  # image name -> image_id
    copy = path_prefix is None
    with CatalogWriter(folder, _TABLES, shard_mb if copy else None) as writer:
        totals = writer.totals
        totals.records = listing.count
        opened = _opened(progress(listing.records), root, copy, refusals)
        while batch := list(islice(opened, _BATCH)):
            records = [record for record, _ in batch]
            image_ids = writer.add_images([image for _, image in batch], path_prefix)
            writer.tables["garments"].append(_garments_table(records, image_ids))
            ids.update(zip([r.name for r in records], image_ids.tolist(), strict=True))
            totals.garments.update(r.split for r in records)
        attributes = listing.attributes
        writer.tables["attributes"].append(
            table_of(schemas.ATTRIBUTES, attributes, attribute_id=np.arange(len(attributes)))
        )
        writer.tables["pairs"].append(_pairs_table(listing.pairs, ids, refusals))
        writer.refuse(refusals)
    totals.check_balance(root)
    return totals


def _opened(
    records: Iterable[Record], root: Path, copy: bool, refusals: list[Refusal]
) -> Iterator[tuple[Record, CheckedImage]]:
    """Yield the valid records with their images; the others go to ``refusals``."""
    image_id = 1
    for record in records:
        try:
            try:
                image = check_image(
                    root, record.image, copy, split=record.split, coco_id=image_id, source=record.source
                )
            except Refused as refused:
                raise Refused(refused.reason, f"{record.image}: {refused.value}") from None
            fit_to_image(record, image.width, image.height)
        except Refused as refused:
            file, line = record.file, record.line
            if refused.reason is Reason.BOX_OUTSIDE and record.box_at[0]:
                file, line = record.box_at
            refusals.append(refused.row(record.split, file, record.name, line=line))
            continue
        image_id += 1
        yield record, image


def _garments_table(records: list[Record], ids: np.ndarray) -> pa.Table:
    """Rows of garments.parquet. ``ids``: of the images, and of their garments too."""
    return table_of(
        schemas.GARMENTS,
        records,
        garment_id=ids,
        image_id=ids,
        box=[r.box.astype(np.float32) for r in records],
        landmarks=[np.column_stack((r.xy, r.visibility)).astype(np.float32).ravel() for r in records],
        num_labelled=[int((r.visibility > 0).sum()) for r in records],
        joints=[r.joints.astype(np.float32).ravel() for r in records],
    )


def _pairs_table(pairs: list[Pair], ids: dict[str, int], refusals: list[Refusal]) -> pa.Table:
    """Pairs whose two images are in the catalog; the others are reported and count as no record."""
    kept = []
    for pair in pairs:
        missing = [name for name in (pair.consumer, pair.shop) if name not in ids]
        if missing:
            refused = Refused(Reason.NOT_LISTED, f"a pair's image was refused: {missing[0]}", 0)
            refusals.append(refused.row(pair.split, pair.file, pair.consumer, line=pair.line))
        else:
            kept.append(pair)
    return table_of(
        schemas.PAIRS,
        kept,
        consumer_image_id=[ids[pair.consumer] for pair in kept],
        shop_image_id=[ids[pair.shop] for pair in kept],
    )
