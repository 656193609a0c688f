"""The tables of an alignment catalog; each column is declared here once.

``images`` and its shards are those of the catalog of 13 categories. ``garments`` has one row per
image; ``attributes`` names what the attribute lists hold; ``pairs`` says which consumer image shows the
item of which shop image. Every input record is in ``garments`` or in ``quarantine``.
"""

import pandera.pandas as pandera
import pyarrow as pa

from fashion_ops.catalog.schemas import FLOATS, KEY, TEXT, Column, TableSchema

_CODES = pa.list_(pa.int8())

GARMENTS = TableSchema.of(
    garment_id=KEY,
    image_id=KEY,
    split=Column(TEXT),  # train, val, test; of In-shop train, query, gallery
    item_id=Column(TEXT),  # "" where the source has none
    source=Column(TEXT),  # shop | user | ""
    clothes_type=Column(pa.int8(), pandera.Check.in_range(0, 3)),  # upper, lower, full; 0 a person
    variation=Column(pa.int8(), pandera.Check.in_range(0, 5)),  # FLD's; 0 where there is none
    pose=Column(pa.int8(), pandera.Check.in_range(0, 6)),  # In-shop's; 0 where there is none
    category=Column(TEXT),  # of Category & Attribute; else ""
    box=Column(FLOATS),  # x1, y1, x2, y2
    landmarks=Column(FLOATS),  # 3 * n: x, y, visibility (COCO's)
    codes=Column(_CODES),  # n: the visibility code of the source
    num_labelled=Column(pa.int16()),  # landmarks with visibility > 0
    attributes=Column(_CODES),  # one per attribute: 1, -1, 0 unknown
    joints=Column(FLOATS),  # FLD's 14 human joints x, y, visibility; or none
)

QUARANTINE = TableSchema.of(
    split=Column(TEXT),
    file=Column(TEXT),
    line=Column(pa.int32()),  # 1-based; 0 where there is none
    item=Column(TEXT),  # image name
    reason=Column(TEXT),
    value=Column(TEXT),
    num_records=Column(pa.int32()),  # records lost with this row
)

ATTRIBUTES = TableSchema.of(
    attribute_id=Column(pa.int32(), unique=True),  # position in the lists, from 0
    name=Column(TEXT),
    kind=Column(TEXT),  # texture, fabric, shape, part, style; "" where the source has none
)

PAIRS = TableSchema.of(
    consumer_image_id=Column(pa.int64()),
    shop_image_id=Column(pa.int64()),
    item_id=Column(TEXT),
    split=Column(TEXT),
)

PREDICTIONS = TableSchema.of(
    garment_id=KEY,
    landmarks=Column(FLOATS),  # 3 * n: x, y, score; pixels of the image
)
