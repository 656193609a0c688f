"""Reading tables, weights and JSON: what cannot be read is one line with file, reason and mend.

Libraries name no file in half of their errors (``Unexpected end of data``, ``incomplete metadata``),
and raise a dozen types. Every reader of a file goes through one of these functions.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fashion_ops.errors.failures import failure_line, message, one_line
from fashion_ops.workspace import maker

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from torch import Tensor

_GZIP = b"\x1f\x8b"
_PACKED = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


def mend(path: Path) -> str:
    """How a damaged or missing file comes back."""
    step = maker(path)
    if step:
        return f"`fashion-ops {step}` makes it again"
    return "copy it again from where it came from, or make it again"


@contextmanager
def readable(path: Path | str, kind: str) -> Iterator[None]:
    """Turn any error of a library that reads the file ``path`` into one line.

    Args:
        path: the file, or its URI.
        kind: what it should be: ``a parquet table``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read.
    """
    remedy = mend(Path(path))
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: is missing; {remedy}") from error
    except OSError as error:
        if error.errno:  # a library's text may hold all but the file
            about = OSError(error.errno, os.strerror(error.errno), str(path))
            raise ValueError(failure_line(about)) from error
        why = message(error).splitlines()[0]
        raise ValueError(one_line(f"{path}: cannot be read as {kind}: {why}; {remedy}")) from error
    except MemoryError:
        raise
    except Exception as error:  # damaged files make readers raise everything, KeyError to SystemError
        lines = [line for line in message(error).splitlines() if not line.startswith("Exception from")]
        why = lines[0] if lines else type(error).__name__
        raise ValueError(one_line(f"{path}: cannot be read as {kind}: {why}; {remedy}")) from error


def read_table(
    path: Path,
    columns: Sequence[str] | None = None,
    filters: list[Any] | None = None,
    needs: Sequence[str] = (),
) -> "pd.DataFrame":
    """Read a parquet table.

    Args:
        path: the file.
        columns: those to read; None reads all.
        filters: pandas' filters of the rows.
        needs: columns that the table must have.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or a column is missing.
    """
    import pandas as pd

    with readable(path, "a parquet table"):
        table = pd.read_parquet(path, columns=list(columns) if columns else None, filters=filters)
    if missing := [name for name in needs if name not in table]:
        raise ValueError(f"{path}: has no column {missing[0]}; {mend(path)}")
    return table


def read_arrow(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read a parquet table as Arrow; raises as ``readable`` does."""
    import pyarrow.parquet as pq

    with readable(path, "a parquet table"):
        return pq.read_table(path, columns=list(columns) if columns else None)


def open_table(path: Path) -> "pq.ParquetFile":
    """Open a parquet table to read it in parts; raises as ``readable`` does."""
    import pyarrow.parquet as pq

    with readable(path, "a parquet table"):
        return pq.ParquetFile(path)


def read_weights(path: Path) -> "dict[str, Tensor]":
    """Read a safetensors file; raises as ``readable`` does."""
    from safetensors.torch import load_file

    with readable(path, "weights (safetensors)"):
        return load_file(path)


def read_arrays(path: Path, *needs: str) -> "dict[str, np.ndarray]":
    """Read a safetensors file as NumPy arrays.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or lacks an array of ``needs``.
    """
    from safetensors.numpy import load_file

    with readable(path, "arrays (safetensors)"):
        arrays = load_file(path)
    if missing := [name for name in needs if name not in arrays]:
        raise ValueError(f"{path}: has no array {missing[0]}; {mend(path)}")
    return arrays


def read_json(path: Path) -> Any:
    """Read a JSON file, which may be compressed with gzip.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or is no JSON; names file, place and mend.
    """
    with readable(path, "a file"):
        data = path.read_bytes()
    return parse_json(data, str(path), mend(path))


def read_object(path: Path, *needs: str) -> dict[str, Any]:
    """Read a JSON file that holds one object with the keys ``needs``; raises as ``read_json`` does."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: holds {type(data).__name__}, expected an object; {mend(path)}")
    if missing := [key for key in needs if key not in data]:
        raise ValueError(f"{path}: has no {missing[0]!r}; {mend(path)}")
    return data


def parse_json(data: bytes, name: str, remedy: str = "correct it, or write it again") -> Any:
    """Parse JSON, plain or compressed with gzip, with or without a byte order mark.

    NaN and Infinity are read, so that a caller can name the record that holds them.

    Args:
        data: the bytes.
        name: what to call them in an error.
        remedy: what to do about broken JSON.

    Raises:
        ValueError: the bytes are no JSON; the message starts with ``name``.
    """
    try:
        data = unpack(data)
    except ValueError as error:
        raise ValueError(f"{name}: {error}; {remedy}") from error
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data)  # UTF-8, or UTF-16 and UTF-32 with a byte order mark
    except RecursionError as error:
        raise ValueError(f"{name}: not JSON that can be read: nested too deep; {remedy}") from error
    except ValueError as error:  # bytes that are not UTF-8 too
        why = "the file is empty" if not data.strip() else message(error)
        raise ValueError(f"{name}: not JSON: {why}; {remedy}") from error


def is_packed(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 6 at least, is compressed."""
    return head.startswith((_GZIP, *_PACKED))


def unpack(data: bytes) -> bytes:
    """The content of gzip bytes; other bytes as they are.

    Raises:
        ValueError: the bytes are a damaged gzip file, or packed otherwise.
    """
    for start, kind in _PACKED.items():
        if data.startswith(start):
            raise ValueError(f"compressed with {kind}, which is not read; unpack it first")
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"a damaged gzip file: {message(error)}") from error
