"""Building and writing the tables of a catalog in memory that does not grow with the table.

Rows are gathered into row groups; each group is validated, then appended to one parquet file. The same
rows give the same bytes, however they were cut into appended tables.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fashion_ops.catalog.schemas import TableSchema

ROW_GROUP = 1 << 15


def table_of(schema: TableSchema, records: Sequence[Any], **columns: Any) -> pa.Table:
    """An Arrow table with one row per record.

    Args:
        schema: of the table.
        records: a column that is not in ``columns`` is the attribute of its name of each record.
        columns: values of the other columns, one per record.
    """
    values = {
        name: columns[name] if name in columns else [getattr(record, name) for record in records]
        for name in schema.arrow.names
    }
    return pa.table(values, schema=schema.arrow)


class TableWriter:
    """Appends tables to one parquet file, validated, in row groups of fixed size.

    Use as a context manager. A table without any rows is still a readable file.
    """

    def __init__(self, path: Path, schema: TableSchema) -> None:
        self.rows = 0
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._writer = pq.ParquetWriter(path, schema.arrow, compression="zstd")

    def append(self, table: pa.Table) -> None:
        """Add the rows of ``table``, whose columns may be in any order.

        Raises:
            pandera.errors.SchemaError: a row breaks the schema.
        """
        layout = self._schema.arrow
        self._waiting.append(table.select(layout.names).cast(layout))
        self._waiting_rows += table.num_rows
        self.rows += table.num_rows
        while self._waiting_rows >= ROW_GROUP:
            self._write(ROW_GROUP)

    def _write(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        group, rest = table.slice(0, rows).combine_chunks(), table.slice(rows)
        self._schema.validate(group.to_pandas())
        self._writer.write_table(group, row_group_size=ROW_GROUP)
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
