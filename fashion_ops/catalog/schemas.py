"""The tables of a catalog, column by column (pandera), and the only place that names them.

``images``: one row an image. ``garments``: one row an accepted garment. ``quarantine``: one row a
record that was refused, with file, item, reason and the offending value. Every input record is in
``garments`` or in ``quarantine``.

Coordinates are pixels of the original image, (x, y), origin at the top-left pixel's centre.
Visibility is COCO's: 0 not labelled, 1 occluded, 2 visible.
"""

import pandera.pandas as pa

IMAGES = pa.DataFrameSchema(
    {
        "image_id": pa.Column("int64", unique=True),  # running, unique over all splits
        "split": pa.Column(str),
        "file_name": pa.Column(str),  # relative to the source root
        "coco_id": pa.Column("int64"),  # the id in the source; restarts in each split
        "width": pa.Column("int32", pa.Check.gt(0)),
        "height": pa.Column("int32", pa.Check.gt(0)),
        "source": pa.Column(str),  # shop | user | ""
        "pair_id": pa.Column("int64"),  # -1 where the source has none
        "sha256": pa.Column(str),  # "" when shard is -1
        "shard": pa.Column("int32"),  # -1: left in place, read from path
        "row": pa.Column("int32"),  # row within the shard, or -1
        "path": pa.Column(str),  # from the catalog's folder, when shard is -1; else ""
    },
    strict=True,
    ordered=True,
)

GARMENTS = pa.DataFrameSchema(
    {
        "garment_id": pa.Column("int64", unique=True),  # running, unique over all splits
        "image_id": pa.Column("int64"),
        "split": pa.Column(str),
        "item": pa.Column(str),  # item1, item2, ... or the COCO annotation id
        "category_id": pa.Column("int8", pa.Check.in_range(1, 13)),
        "box": pa.Column(object),  # float32[4]: x1, y1, x2, y2
        "landmarks": pa.Column(object),  # float32[3 * num_landmarks]: x, y, visibility
        "num_labelled": pa.Column("int16"),  # landmarks with visibility > 0
        "scale": pa.Column("int8"),  # 1..3; 0 where the source has none (as the next three)
        "occlusion": pa.Column("int8"),
        "zoom_in": pa.Column("int8"),
        "viewpoint": pa.Column("int8"),
        "style": pa.Column("int64"),
        "polygons": pa.Column(object),  # list of float32[2k]
    },
    strict=True,
    ordered=True,
)

QUARANTINE = pa.DataFrameSchema(
    {
        "split": pa.Column(str),
        "file": pa.Column(str),
        "item": pa.Column(str),  # "" when the whole image is refused
        "reason": pa.Column(str),
        "value": pa.Column(str),
        "num_records": pa.Column("int32"),  # garments lost with this row (1 if unknown)
    },
    strict=True,
    ordered=True,
)

GROUPED = pa.DataFrameSchema(
    {
        "garment_id": pa.Column("int64", unique=True),
        "landmarks": pa.Column(object),  # float32[3 * num_groups]: x, y, visibility
    },
    strict=True,
    ordered=True,
)

PSEUDO_LABELS = pa.DataFrameSchema(
    {
        "garment_id": pa.Column("int64", unique=True),
        "cluster": pa.Column("int16"),  # nearest centre; -1 when nothing is labelled
        "soft_label": pa.Column(object),  # float32[K], sums to 1 (uniform when nothing is labelled)
    },
    strict=True,
    ordered=True,
)

PREDICTIONS = pa.DataFrameSchema(
    {
        "image_id": pa.Column("int64"),
        "garment_id": pa.Column("int64"),  # -1 for boxes of a detector
        "category_id": pa.Column("int8", pa.Check.in_range(1, 13)),
        "score": pa.Column("float32"),
        "box": pa.Column(object),  # float32[4]: x1, y1, x2, y2
        "landmarks": pa.Column(object),  # float32[3 * num_landmarks]: x, y, score
    },
    strict=True,
    ordered=True,
)
