"""The tables of an alignment catalog, column by column (pandera), and how they are laid out (Arrow).

``images`` and its shards are those of the catalog of 13 categories. ``garments`` has one row a
image; ``attributes`` names what their attribute lists hold; ``pairs`` says which consumer's image
shows the item of which shop's. Every input record is in ``garments`` or in ``quarantine``.
"""

import pandera.pandas as pa
import pyarrow as arrow

GARMENTS = pa.DataFrameSchema(
    {
        "garment_id": pa.Column("int64", unique=True),
        "image_id": pa.Column("int64", unique=True),
        "split": pa.Column(str),  # train, val, test; of In-shop train, query, gallery
        "item_id": pa.Column(str),  # "" where the source has none
        "source": pa.Column(str),  # shop | user | ""
        "clothes_type": pa.Column("int8", pa.Check.in_range(0, 3)),  # upper, lower, full; 0 a person
        "variation": pa.Column("int8", pa.Check.in_range(0, 5)),  # FLD's; 0 where there is none
        "pose": pa.Column("int8", pa.Check.in_range(0, 6)),  # In-shop's; 0 where there is none
        "category": pa.Column(str),  # Category & Attribute's; else ""
        "box": pa.Column(object),  # float32[4]: x1, y1, x2, y2
        "landmarks": pa.Column(object),  # float32[3 * n]: x, y, visibility (COCO's)
        "codes": pa.Column(object),  # int8[n]: the source's own visibility
        "num_labelled": pa.Column("int16"),  # landmarks with visibility > 0
        "attributes": pa.Column(object),  # int8[A]: 1, -1, 0 unknown
        "joints": pa.Column(object),  # float32[42] or []: FLD's human joints, x, y, visibility
    },
    strict=True,
    ordered=True,
)

QUARANTINE = pa.DataFrameSchema(
    {
        "split": pa.Column(str),
        "file": pa.Column(str),
        "line": pa.Column("int32"),  # 1-based; 0 where there is none
        "item": pa.Column(str),  # image name
        "reason": pa.Column(str),
        "value": pa.Column(str),
        "num_records": pa.Column("int32"),  # records lost with this row
    },
    strict=True,
    ordered=True,
)

ATTRIBUTES = pa.DataFrameSchema(
    {
        "attribute_id": pa.Column("int32", unique=True),  # position in the lists, from 0
        "name": pa.Column(str),
        "kind": pa.Column(str),  # texture, fabric, shape, part, style; "" where the source has none
    },
    strict=True,
    ordered=True,
)

PAIRS = pa.DataFrameSchema(
    {
        "consumer_image_id": pa.Column("int64"),
        "shop_image_id": pa.Column("int64"),
        "item_id": pa.Column(str),
        "split": pa.Column(str),
    },
    strict=True,
    ordered=True,
)

PREDICTIONS = pa.DataFrameSchema(
    {
        "garment_id": pa.Column("int64", unique=True),
        "landmarks": pa.Column(object),  # float32[3 * n]: x, y, score; pixels of the image
    },
    strict=True,
    ordered=True,
)

_FLOATS, _SMALL = arrow.list_(arrow.float32()), arrow.list_(arrow.int8())
GARMENTS_LAYOUT = arrow.schema(
    {
        "garment_id": arrow.int64(),
        "image_id": arrow.int64(),
        "split": arrow.string(),
        "item_id": arrow.string(),
        "source": arrow.string(),
        "clothes_type": arrow.int8(),
        "variation": arrow.int8(),
        "pose": arrow.int8(),
        "category": arrow.string(),
        "box": _FLOATS,
        "landmarks": _FLOATS,
        "codes": _SMALL,
        "num_labelled": arrow.int16(),
        "attributes": _SMALL,
        "joints": _FLOATS,
    }
)
QUARANTINE_LAYOUT = arrow.schema(
    {
        "split": arrow.string(),
        "file": arrow.string(),
        "line": arrow.int32(),
        "item": arrow.string(),
        "reason": arrow.string(),
        "value": arrow.string(),
        "num_records": arrow.int32(),
    }
)
ATTRIBUTES_LAYOUT = arrow.schema(
    {"attribute_id": arrow.int32(), "name": arrow.string(), "kind": arrow.string()}
)
PAIRS_LAYOUT = arrow.schema(
    {
        "consumer_image_id": arrow.int64(),
        "shop_image_id": arrow.int64(),
        "item_id": arrow.string(),
        "split": arrow.string(),
    }
)
PREDICTIONS_LAYOUT = arrow.schema({"garment_id": arrow.int64(), "landmarks": _FLOATS})
