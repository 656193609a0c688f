"""Parquet tables of photos: a column of paths or URIs, or one of the bytes themselves.

A table is a file or a folder whose name ends in ``.parquet``; of a folder all part files are read.
"""

import itertools
import os
import posixpath
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fashion_ops.errors.reading import readable
from fashion_ops.files.uris import absolute, is_uri, open_uri, spell

NAMES = ("uri", "url", "path", "file_name", "file", "photo", "image", "name", "id")  # text
BYTES = ("image", "bytes", "photo", "data", "content")  # binary, or a struct with ``bytes``
_BATCH = 64  # rows of bytes in memory
_NAMES_BATCH = 1 << 16
_KIND = "a Parquet table"


def is_table(source: str) -> bool:
    """Whether a path or URI names a Parquet table."""
    return source.rstrip("/").endswith(".parquet")


def table_photos(source: str) -> Iterator[tuple[str, str, int, str]]:
    """Yield the photos of a table as the fields of ``listing.Listed``: uri, table, row, refused.

    Paths are relative to the folder of the table. A photo of bytes has the name that a column of text
    gives it, else ``TABLE#ROW``.

    Raises:
        ValueError: it is no Parquet table, or has no column of photos; names the table.
    """
    for part in _parts(source):
        with _opened(part) as file:
            name, data = _columns(file.schema_arrow, part)
            if name is None:
                for row in range(file.metadata.num_rows):
                    yield f"{part}#{row}", part, row, ""
                continue
            values = (b.column(0).to_pylist() for b in _batches(file, part, name, _NAMES_BATCH))
            for row, value in enumerate(itertools.chain.from_iterable(values)):
                if data is not None:
                    yield value or f"{part}#{row}", part, row, ""
                elif value is None:
                    yield f"{part}#{row}", "", -1, f"{name} is empty; name a photo"
                else:
                    yield _resolved(value, part), "", -1, ""


class TableReader:
    """Reads the bytes of rows of tables, best in ascending order: it goes on where it was."""

    def __init__(self) -> None:
        self._table = ""
        self._first = 0  # row of ``_batch``'s first
        self._batch: Any = pa.array([])
        self._batches: Iterator[tuple[int, Any]] = iter(())

    def read(self, table: str, row: int) -> bytes:
        """The bytes of a photo; empty where the table has none.

        Raises:
            ValueError: the table cannot be read, or has changed; names it.
        """
        if table != self._table or row < self._first:
            self._table, self._batches = table, _byte_batches(table, row)
            self._first, self._batch = row, pa.array([])
        while row >= self._first + len(self._batch):
            try:
                self._first, self._batch = next(self._batches)
            except StopIteration:
                raise ValueError(f"{table}: has no row {row} any more; restore it") from None
        return self._batch[row - self._first].as_py() or b""


def _byte_batches(table: str, row: int) -> Iterator[tuple[int, Any]]:
    """Yield (first row, bytes) of the batches of a table, from the row group on that has ``row``."""
    with _opened(table) as file:
        _, data = _columns(file.schema_arrow, table)
        assert data is not None
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        starts = [0, *itertools.accumulate(sizes)]
        groups = [group for group in range(len(sizes)) if starts[group + 1] > row]
        at = starts[groups[0]] if groups else 0
        for batch in _batches(file, table, data, _BATCH, groups):
            column = batch.column(0)
            yield at, column.field("bytes") if pa.types.is_struct(column.type) else column
            at += len(column)


def _columns(schema: pa.Schema, table: str) -> tuple[str | None, str | None]:
    """The column of names and that of bytes; without bytes the names are the photos.

    Raises:
        ValueError: there is neither.
    """

    def holds_bytes(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):  # as the data sets library writes images
            return any(f.name == "bytes" and holds_bytes(f.type) for f in kind)
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    def holds_text(kind: pa.DataType) -> bool:
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)

    kinds = {field.name: field.type for field in schema}
    data = next((c for c in BYTES if c in kinds and holds_bytes(kinds[c])), None)
    name = next((c for c in NAMES if c in kinds and holds_text(kinds[c])), None)
    if data is None and name in (None, "name", "id"):
        raise ValueError(
            f"{table}: has no column of photos: neither text named uri, url, path or file_name, nor "
            f"bytes named image, bytes or photo; it has {', '.join(kinds) or 'no columns'}"
        )
    return name, data


def _parts(source: str) -> list[str]:
    """The files of a table."""
    if is_uri(source):
        fs, path = open_uri(source)
        if fs.isfile(path):
            return [source]
        found = (spell(fs, name) for name in fs.find(path))
    else:
        path = absolute(source)
        if not os.path.isdir(path):  # noqa: PTH112
            return [path]
        found = (os.path.join(path, name) for name in os.listdir(path))  # noqa: PTH118, PTH208
    parts = sorted(name for name in found if name.endswith(".parquet") and "/." not in name)
    if not parts:
        raise ValueError(f"{source}: holds no .parquet files")
    return parts


@contextmanager
def _opened(table: str) -> Iterator[pq.ParquetFile]:
    """Open a table; raises as ``readable`` does."""
    with ExitStack() as stack:
        with readable(table, _KIND):
            if is_uri(table):
                fs, path = open_uri(table)
                file = pq.ParquetFile(stack.enter_context(fs.open(path, "rb")))
            else:
                file = stack.enter_context(pq.ParquetFile(table, memory_map=True))
        yield file


def _batches(
    file: pq.ParquetFile, table: str, column: str, size: int, groups: list[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield a column in batches, of some row groups or of all; raises as ``readable`` does."""
    with readable(table, _KIND):
        yield from file.iter_batches(size, row_groups=groups, columns=[column])


def _resolved(value: str, table: str) -> str:
    """The path or URI that a text in a table means."""
    if is_uri(value):
        return value
    if is_uri(table) and not value.startswith(("/", "file:")):
        return posixpath.join(posixpath.dirname(table), value)
    return absolute(value, os.path.dirname(table))  # noqa: PTH120
