"""Writing the tables of a catalog: Arrow types of their columns, and a writer that stays small.

``schemas`` says what the columns mean and what may stand in them (pandera); here is how they are laid
out on disk. Rows are gathered into row groups, each is validated, then appended to one parquet file,
so memory does not grow with the table. Same rows in, same bytes out, however they were cut.
"""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import pandera.pandas as pandera

ROW_GROUP = 1 << 15
_FLOATS = pa.list_(pa.float32())

IMAGES = pa.schema(
    {
        "image_id": pa.int64(),
        "split": pa.string(),
        "file_name": pa.string(),
        "coco_id": pa.int64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "source": pa.string(),
        "pair_id": pa.int64(),
        "sha256": pa.string(),
        "shard": pa.int32(),
        "row": pa.int32(),
        "path": pa.string(),
    }
)

GARMENTS = pa.schema(
    {
        "garment_id": pa.int64(),
        "image_id": pa.int64(),
        "split": pa.string(),
        "item": pa.string(),
        "category_id": pa.int8(),
        "box": _FLOATS,
        "landmarks": _FLOATS,
        "num_labelled": pa.int16(),
        "scale": pa.int8(),
        "occlusion": pa.int8(),
        "zoom_in": pa.int8(),
        "viewpoint": pa.int8(),
        "style": pa.int64(),
        "polygons": pa.list_(_FLOATS),
    }
)

QUARANTINE = pa.schema(
    {
        "split": pa.string(),
        "file": pa.string(),
        "item": pa.string(),
        "reason": pa.string(),
        "value": pa.string(),
        "num_records": pa.int32(),
    }
)

GROUPED = pa.schema({"garment_id": pa.int64(), "landmarks": _FLOATS})

PSEUDO_LABELS = pa.schema(
    {"garment_id": pa.int64(), "cluster": pa.int16(), "soft_label": pa.list_(pa.float32())}
)


class TableWriter:
    """Appends tables to one parquet file, validated, in row groups of fixed size.

    Use as a context manager. A table with no rows at all is still a readable file.
    """

    def __init__(
        self,
        path: Path,
        layout: pa.Schema,
        schema: "pandera.DataFrameSchema",
        row_group: int = ROW_GROUP,
    ) -> None:
        self.rows = 0
        self._schema, self._layout, self._row_group = schema, layout, row_group
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._writer = pq.ParquetWriter(path, layout, compression="zstd")

    def append(self, table: pa.Table) -> None:
        """Add the rows of ``table``, whose columns are the layout's in any order.

        Raises:
            pandera.errors.SchemaError: a row breaks the schema.
        """
        self._waiting.append(table.select(self._layout.names).cast(self._layout))
        self._waiting_rows += table.num_rows
        self.rows += table.num_rows
        while self._waiting_rows >= self._row_group:
            self._write(self._row_group)

    def _write(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        group, rest = table.slice(0, rows).combine_chunks(), table.slice(rows)
        self._schema.validate(group.to_pandas())
        self._writer.write_table(group, row_group_size=self._row_group)
        self._waiting, self._waiting_rows = [rest], rest.num_rows

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._waiting_rows:
                self._write(self._waiting_rows)
        finally:
            self._writer.close()
