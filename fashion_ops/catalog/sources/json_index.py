"""Byte ranges of the elements of the top-level lists in a large JSON file, without parsing the file.

A COCO file of a large data set is one object of a gigabyte. The scan looks at brackets and strings
only, so memory does not grow with the file; the caller parses single elements.
"""

import re
import stat
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.base import unpacked
from fashion_ops.errors.reading import is_packed

Buffer = bytes | mmap

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[][{}]', re.DOTALL)
_QUOTE, _SQUARE, _CURLY, _CURLY_END = b'"[{}'
_EXCERPT = 80


class Element(NamedTuple):
    """One object of a top-level list: ``data[start:end]``."""

    section: str
    start: int
    end: int


def mapped(path: Path) -> Buffer:
    """The content of a JSON file, mapped into memory; gzip is unpacked, UTF-16 turned into UTF-8.

    Raises:
        Refused: it is no regular file, can't be read, is empty, or packed otherwise than by gzip.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise Refused(Reason.NOT_JSON, "is no regular file")
        if status.st_size == 0:
            raise Refused(Reason.NOT_JSON, "empty file")
        data = _map(path, (status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise Refused(Reason.NOT_JSON, error.strerror or "cannot be read") from None
    except UnicodeDecodeError as error:
        raise Refused(Reason.NOT_JSON, f"UTF-16 that breaks off: {error.reason}") from None
    return data


@lru_cache(maxsize=4)
def _map(path: Path, version: tuple[int, int, int]) -> Buffer:
    """Map a file into memory; the mapping is cached for further entries of this version of it."""
    with path.open("rb") as file:
        data: Buffer = mmap(file.fileno(), 0, access=ACCESS_READ)
    if is_packed(data[:8]):
        data = unpacked(bytes(data))
    if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
        return bytes(data).decode("utf-16").encode()
    return data


def elements(data: Buffer, lists: list[str] | None = None) -> Iterator[Element]:
    """Yield the objects in the top-level lists of ``data``, in file order.

    Args:
        data: the file.
        lists: receives the name of each top-level list, also of an empty one, when it begins.

    Raises:
        Refused: the brackets do not match, the top level is no object, a list stands twice or has
            elements that are no objects. Elements before the fault have been yielded; ``num_records``
            counts them.
    """
    lists = [] if lists is None else lists
    depth, key, section, start, last, count = 0, b"", "", 0, 0, 0
    for token in _TOKEN.finditer(data):
        at = token.start()
        byte = data[at]
        if byte == _QUOTE:
            if depth == 1:
                key = token.group()
        elif byte in (_SQUARE, _CURLY):
            if depth == 0:
                if byte != _CURLY or last or bytes(data[:at]).removeprefix(BOM_UTF8).strip():
                    raise Refused(Reason.SHAPE, bytes(data[:_EXCERPT]), max(1, count))
            elif depth == 1:
                section = key[1:-1].decode("utf-8", "replace") if byte == _SQUARE else ""
                last = token.end()
                if section and section in lists:
                    raise Refused(Reason.SHAPE, f"{section} stands twice in the file", max(1, count))
                lists += [section] if section else []
            elif depth == 2 and section:
                gap = bytes(data[last:at]).strip()
                if byte != _CURLY or gap != (b"," if data[last - 1] == _CURLY_END else b""):
                    raise Refused(Reason.SHAPE, _near(section, data, last), max(1, count))
                start = at
            depth += 1
        else:
            depth -= 1
            if depth == 2 and section:
                last = token.end()
                count += 1
                yield Element(section, start, last)
            elif depth == 1 and section:
                if bytes(data[last:at]).strip():
                    raise Refused(Reason.SHAPE, _near(section, data, last), max(1, count))
                section = ""
            elif depth <= 0:
                last = token.end()
                break
    if depth != 0 or not last or bytes(data[last : last + 4096]).strip():
        raise Refused(Reason.NOT_JSON, f"ends or breaks off near byte {last}", max(1, count))


def _near(section: str, data: Buffer, at: int) -> str:
    return f"{section}: {bytes(data[at : at + _EXCERPT])!r}"
