"""Read a huge JSON file as batches of records, at the memory of one batch.

A result file of COCO is one list of records with 882 numbers each. Parsed at once, it takes five times
its size in Python objects. Here the file is read block by block. A block is cut behind its last whole
record, and ``orjson`` parses what is before the cut.

A cut is guessed first: at the last ``}, {``. The guess may fall inside of a text or of a nested list;
then the brackets do not match, orjson refuses the batch, and the file is cut by its brackets and
quotes. So a batch that is parsed is always made of whole values, and these are the values of the file.

Only JSON in UTF-8 is read, plain or compressed with gzip. ``NotStreamed`` says that a file needs
another reader.
"""

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from fashion_ops.evaluation.json_reader import Batch, NotStreamed, Parse, Reader
from fashion_ops.evaluation.json_spans import Span

_GZIP = b"\x1f\x8b"


def stream_list(path: Path, parse: Parse, quick: Parse = orjson.loads) -> Iterator[Batch]:
    """Yield the elements of a file that holds one list.

    Args:
        path: the file.
        parse: parses what ``quick`` refuses; raises ValueError or another error if it is no JSON.
        quick: parses most; raises ValueError if it refuses JSON or gets none.

    Raises:
        NotStreamed: the file holds no list, or cannot be read here; some batches may be out already.
    """
    with _reader(path, parse, quick) as reader:
        reader.begin(b"[")
        yield from reader.batches()
        reader.finish()


def stream_object(path: Path, parse: Parse, quick: Parse = orjson.loads) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a file that holds one object; a list as an iterator of ``Batch``.

    The iterator must be used up before the next key is asked for. Arguments and errors are those of
    ``stream_list``.
    """
    with _reader(path, parse, quick) as reader:
        reader.begin(b"{")
        yield from reader.items()
        reader.finish()


def stream_span(path: Path, span: Span, parse: Parse, quick: Parse = orjson.loads) -> Iterator[Batch]:
    """Yield the elements of a span; arguments and errors are those of ``stream_list``."""
    with _reader(path, parse, quick, span) as reader:
        yield from reader.elements(b"")


@contextmanager
def _reader(path: Path, parse: Parse, quick: Parse, span: Span | None = None) -> Iterator["Reader"]:
    if not path.is_file():  # a pipe, whose bytes come only once
        raise NotStreamed
    try:
        with path.open("rb", buffering=0) as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(span.start if span else 0)
            read = gzip.GzipFile(fileobj=raw).read if packed else raw.read
            yield Reader(read, (parse, quick), span.stop - span.start if span else sys.maxsize)
    except OSError as error:
        raise NotStreamed from error
