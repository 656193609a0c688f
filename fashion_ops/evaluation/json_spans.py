"""Cut a JSON file that holds one list into spans, which several processes read (``json_stream``)."""

import re
from contextlib import suppress
from os import SEEK_END
from pathlib import Path
from typing import NamedTuple

_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\n\r]*\[")
_CUT = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*\{")
_LOOKED_AT = 1 << 17  # bytes that a cut or an end is looked for in


class Span(NamedTuple):
    """The bytes of a file from ``start`` to ``stop``, which begin and end with a record."""

    start: int
    stop: int


def list_spans(path: Path, size: int) -> list[Span]:
    """Cut the list that a file holds into spans of about ``size`` bytes.

    The cuts are guesses. They are right if ``stream_span`` reads every span; then each span is made of
    whole records, because the one before it is.

    Returns:
        The spans in order; [] if the file does not look like a list of records.
    """
    spans = []
    if not path.is_file():  # a pipe, whose bytes come only once
        return []
    with suppress(OSError), path.open("rb", buffering=0) as file:
        start, end = _HEAD.match(file.read(_LOOKED_AT)), file.seek(0, SEEK_END)
        file.seek(max(0, end - _LOOKED_AT))
        tail = file.read(_LOOKED_AT).rstrip(b" \t\n\r")
        if start is None or not tail.endswith(b"]"):
            return []
        stop = max(0, end - _LOOKED_AT) + len(tail) - 1
        begin = start.end()
        for offset in range(begin + size, stop - size // 2, size):
            file.seek(offset)
            cut = _CUT.search(file.read(_LOOKED_AT))
            if cut and offset + cut.start() > begin:
                spans.append(Span(begin, offset + cut.start() + 1))
                begin = offset + cut.end() - 1
        spans.append(Span(begin, stop))
    return spans
