"""Arrow tables from checked chunks, with their running ids: the last step before writing.

Ids count from 1 over all splits, in the order of the listing.
"""

import numpy as np
import pyarrow as pa

from fashion_ops.catalog import tables
from fashion_ops.catalog.checks import Ragged
from fashion_ops.catalog.chunks import Chunk
from fashion_ops.catalog.quarantine import Refusal


def images_table(
    chunk: Chunk, ids: np.ndarray, shards: np.ndarray, rows: np.ndarray, prefix: str | None
) -> pa.Table:
    """Rows of images.parquet. ``prefix``: where the images lie if they are not in a shard."""
    columns = {
        "image_id": ids,
        "split": [p.split for p in chunk.images],
        "file_name": [p.file_name for p in chunk.images],
        "coco_id": [p.coco_id for p in chunk.images],
        "width": [p.width for p in chunk.images],
        "height": [p.height for p in chunk.images],
        "source": [p.source for p in chunk.images],
        "pair_id": [p.pair_id for p in chunk.images],
        "sha256": [p.sha256 for p in chunk.images],
        "shard": shards,
        "row": rows,
        "path": ["" if prefix is None else f"{prefix}/{p.file_name}" for p in chunk.images],
    }
    return pa.table(columns, schema=tables.IMAGES)


def garments_table(chunk: Chunk, first_id: int, image_ids: np.ndarray) -> pa.Table:
    """Rows of garments.parquet. ``image_ids``: of the chunk's images."""
    garments, count = chunk.garments, len(chunk.items)
    polygons = pa.ListArray.from_arrays(garments.polygons.offsets, _lists(garments.polygon_points))
    columns = {
        "garment_id": np.arange(first_id, first_id + count),
        "image_id": image_ids[chunk.image_of],
        "split": [chunk.images[i].split for i in chunk.image_of],
        "item": chunk.items,
        "category_id": garments.category_id,
        "box": _lists(Ragged.of(garments.box.ravel(), np.full(count, 4))),
        "landmarks": _lists(garments.landmarks),
        "num_labelled": garments.num_labelled,
        "scale": garments.scale,
        "occlusion": garments.occlusion,
        "zoom_in": garments.zoom_in,
        "viewpoint": garments.viewpoint,
        "style": garments.style,
        "polygons": polygons,
    }
    return pa.table(columns, schema=tables.GARMENTS)


def quarantine_table(refusals: list[Refusal]) -> pa.Table:
    """Rows of quarantine.parquet."""
    columns = {name: [getattr(r, name) for r in refusals] for name in Refusal._fields}
    return pa.table(columns, schema=tables.QUARANTINE)


def _lists(rows: Ragged) -> pa.ListArray:
    return pa.ListArray.from_arrays(rows.offsets, pa.array(rows.values))
