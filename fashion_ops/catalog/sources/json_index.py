"""Byte ranges of the elements of the top-level lists in a large JSON file, without parsing the file.

A COCO file of a large data set is one object of a gigabyte. The scan looks at brackets and strings
only, so memory does not grow with the file; the caller parses single elements.
"""

import re
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from fashion_ops.catalog.quarantine import Reason, Refused

Buffer = bytes | mmap

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[][{}]', re.DOTALL)
_QUOTE, _SQUARE, _CURLY, _CURLY_END = b'"[{}'
_EXCERPT = 80


class Element(NamedTuple):
    """One object of a top-level list: ``data[start:end]``."""

    section: str
    start: int
    end: int


def elements(data: Buffer) -> Iterator[Element]:
    """Yield the objects in the top-level lists of ``data``, in file order.

    Raises:
        Refused: the brackets do not match, the top level is no object, or a list has elements that are
            no objects. Elements before the fault have been yielded; ``num_records`` counts them.
    """
    depth, key, section, start, last, count = 0, b"", "", 0, 0, 0
    for token in _TOKEN.finditer(data):
        at = token.start()
        byte = data[at]
        if byte == _QUOTE:
            if depth == 1:
                key = token.group()
        elif byte in (_SQUARE, _CURLY):
            if depth == 0:
                if byte != _CURLY or last or bytes(data[:at]).strip():
                    raise Refused(Reason.SHAPE, bytes(data[:_EXCERPT]), max(1, count))
            elif depth == 1:
                section = key[1:-1].decode("utf-8", "replace") if byte == _SQUARE else ""
                last = token.end()
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
