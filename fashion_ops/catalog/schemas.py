"""The tables of a catalog. Each column is declared here once: its Arrow type and what it may hold.

``images``: one row per image. ``garments``: one row per accepted garment. ``quarantine``: one row per
refused record, with file, item, reason and the offending value. Every input record is in ``garments``
or in ``quarantine``. ``catalog.alignment.schemas`` declares the tables of alignment catalogs.

Coordinates are pixels of the original image, (x, y), origin at the centre of the top-left pixel.
Visibility is COCO's: 0 not labelled, 1 occluded, 2 visible.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

TEXT, FLOATS = pa.string(), pa.list_(pa.float32())


class Column(NamedTuple):
    """A column: its Arrow type, the rule for its values, and whether they are all different."""

    type: pa.DataType
    check: pandera.Check | None = None
    unique: bool = False

    def rule(self) -> pandera.Column:
        """The column of a DataFrame: strings are str, lists are objects, numbers have their dtype."""
        if pa.types.is_list(self.type):
            return pandera.Column(object)
        dtype = str if self.type == TEXT else np.dtype(self.type.to_pandas_dtype()).name
        return pandera.Column(dtype, self.check, unique=self.unique)


@dataclass(frozen=True)
class TableSchema:
    """The columns of a table: ``arrow`` is the layout on disk, ``rules`` bind a DataFrame."""

    arrow: pa.Schema
    rules: pandera.DataFrameSchema

    @classmethod
    def of(cls, **columns: Column) -> "TableSchema":
        """From the columns, in their order in the table."""
        rules = {name: column.rule() for name, column in columns.items()}
        return cls(
            pa.schema({name: column.type for name, column in columns.items()}),
            pandera.DataFrameSchema(rules, strict=True, ordered=True),
        )

    def validate(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return ``frame`` if its columns and values are as declared.

        Raises:
            pandera.errors.SchemaError: they are not.
        """
        return self.rules.validate(frame)


KEY = Column(pa.int64(), unique=True)
CATEGORY = Column(pa.int8(), pandera.Check.in_range(1, 13))
SIDE = Column(pa.int32(), pandera.Check.gt(0))

IMAGES = TableSchema.of(
    image_id=KEY,  # running, unique over all splits
    split=Column(TEXT),
    file_name=Column(TEXT),  # relative to the source root
    coco_id=Column(pa.int64()),  # the id in the source; restarts in each split
    width=SIDE,
    height=SIDE,
    source=Column(TEXT),  # shop | user | ""
    pair_id=Column(pa.int64()),  # -1 where the source has none
    sha256=Column(TEXT),  # "" when shard is -1
    shard=Column(pa.int32()),  # -1: left in place, read from path
    row=Column(pa.int32()),  # row within the shard, or -1
    path=Column(TEXT),  # relative to the catalog's folder, when shard is -1; else ""
)

GARMENTS = TableSchema.of(
    garment_id=KEY,  # running, unique over all splits
    image_id=Column(pa.int64()),
    split=Column(TEXT),
    item=Column(TEXT),  # item1, item2, ... or the COCO annotation id
    category_id=CATEGORY,
    box=Column(FLOATS),  # x1, y1, x2, y2
    landmarks=Column(FLOATS),  # 3 * num_landmarks: x, y, visibility
    num_labelled=Column(pa.int16()),  # landmarks with visibility > 0
    scale=Column(pa.int8()),  # 1..3; 0 where the source has none (as the next three)
    occlusion=Column(pa.int8()),
    zoom_in=Column(pa.int8()),
    viewpoint=Column(pa.int8()),
    style=Column(pa.int64()),
    polygons=Column(pa.list_(FLOATS)),  # each polygon x, y, x, y, ...
)

QUARANTINE = TableSchema.of(
    split=Column(TEXT),
    file=Column(TEXT),
    item=Column(TEXT),  # "" when the whole image is refused
    reason=Column(TEXT),
    value=Column(TEXT),
    num_records=Column(pa.int32()),  # garments lost with this row (1 if unknown)
)

GROUPED = TableSchema.of(
    garment_id=KEY,
    landmarks=Column(FLOATS),  # 3 * num_groups: x, y, visibility
)

PSEUDO_LABELS = TableSchema.of(
    garment_id=KEY,
    cluster=Column(pa.int16()),  # nearest centre; -1 when nothing is labelled
    soft_label=Column(FLOATS),  # K numbers that sum to 1 (uniform when nothing is labelled)
)

PREDICTIONS = TableSchema.of(
    image_id=Column(pa.int64()),
    garment_id=Column(pa.int64()),  # -1 for boxes of a detector
    category_id=CATEGORY,
    score=Column(pa.float32()),
    box=Column(FLOATS),  # x1, y1, x2, y2
    landmarks=Column(FLOATS),  # 3 * num_landmarks: x, y, score
    deviations=Column(FLOATS),  # num_landmarks: pixels; empty without a shape prior
)
