"""Parse JSON from a stream of bytes by batches of whole values (``json_stream`` opens the files)."""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from fashion_ops.errors.failures import message

_BLOCK = 1 << 17  # bytes read at once; the objects of a block stay in the processor's cache
_TRIES = 4  # guesses of a cut
_SPACES = b" \t\n\r"
_SPACE = re.compile(rb"[ \t\n\r]*+")
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.S)
_OUTSIDE = re.compile(rb'(?:[^",\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.S)  # to a comma or a bracket
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.S)  # to a bracket
_MARK = b"\xef\xbb\xbf"  # byte order mark


class NotStreamed(Exception):
    """The file cannot be read here: it is broken, cannot be opened, or has another encoding.

    Attributes:
        fault: what is wrong with the JSON and where; "" if the file may be good.
    """

    def __init__(self, fault: str = "") -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True)
class Batch:
    """Consecutive elements of a list, and the bytes that they were parsed from; None if not known."""

    values: list[Any]
    text: bytes | None


Parse = Callable[[bytes], Any]


class Reader:
    """A position in a file, and the bytes behind it that are read already."""

    def __init__(self, read: Callable[[int], bytes], parsers: tuple[Parse, Parse], left: int) -> None:
        self._read, self._left = read, left
        self._parse, self._quick = parsers
        self._buffer, self._at = b"", 0
        self._before = 0  # bytes of the file before the buffer
        self._fill()
        self._is_utf8 = b"\0" not in self._buffer[:4]  # as json.detect_encoding sees it
        if self._buffer.startswith(_MARK):
            self._at = len(_MARK)

    def _fill(self) -> bool:
        """Read on, at least as much again as is in the buffer; False at the end of the file."""
        rest = self._buffer[self._at :]
        try:
            more = self._read(min(max(_BLOCK, len(rest)), self._left))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise NotStreamed(f"a damaged gzip file: {message(error)}") from error
        except OSError as error:
            raise NotStreamed from error
        self._before += self._at
        self._left -= len(more)
        self._buffer, self._at = rest + more, 0
        return bool(more)

    def _peek(self) -> bytes:
        """The next byte that is no space; b"" at the end of the file."""
        while True:
            space = cast(re.Match[bytes], _SPACE.match(self._buffer, self._at))
            self._at = space.end()
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._fill():
                return b""

    def _take(self, expected: bytes) -> bytes:
        """Go behind the next byte, which must be one of ``expected``."""
        sign = self._peek()
        if not sign or sign not in expected:
            raise self._fault()
        self._at += 1
        return sign

    def _fault(self, why: str = "") -> NotStreamed:
        """That the file is no JSON from here on."""
        if not self._is_utf8:
            return NotStreamed()
        if not why:
            why = "unexpected character" if self._at < len(self._buffer) else "unexpected end of data"
        return NotStreamed(f"{why} near byte {self._before + self._at}")

    def begin(self, sign: bytes) -> None:
        """Refuse a file that does not begin with this byte."""
        if self._peek() != sign:
            raise NotStreamed

    def finish(self) -> None:
        """Refuse what stands behind the value."""
        if self._peek():
            raise self._fault()

    def items(self) -> Iterator[tuple[str, Any]]:
        """Keys and values of the object that begins here."""
        self._take(b"{")
        if self._peek() == b"}":
            self._at += 1
            return
        while True:
            key = self._key()
            if self._peek() == b"[":
                yield key, self.batches()
            else:
                length = self._length(0)
                value = self._parsed(self._buffer[self._at : self._at + length])
                self._at += length
                yield key, value
            if self._take(b",}") == b"}":
                return

    def _key(self) -> str:
        if self._peek() != b'"':
            raise self._fault()
        while (text := _TEXT.match(self._buffer, self._at)) is None:
            if not self._fill():
                raise self._fault("unexpected end of data")
        self._at = text.end()
        key = self._parsed(text[0])
        self._take(b":")
        return key

    def batches(self) -> Iterator[Batch]:
        """Elements of the list that begins here."""
        self._take(b"[")
        if self._peek() == b"]":
            self._at += 1
        else:
            yield from self.elements(b"]")

    def elements(self, end: bytes) -> Iterator[Batch]:
        """Elements up to ``end``: the bracket, or b"" for the end of the bytes."""
        while True:
            yield self._guessed() or self._scanned()
            if (sign := self._peek()) == end:
                self._at += len(end)
                return
            if sign != b",":
                raise self._fault()
            self._at += 1

    def _guessed(self) -> Batch | None:
        """The elements up to the last ``}, {`` of the buffer, if these are whole elements."""
        if len(self._buffer) - self._at < _BLOCK:
            self._fill()
        end = self._guess()
        if end <= self._at:
            return None
        text = self._buffer[self._at : end]
        try:
            values = self._quick(b"[%b]" % text)
        except ValueError:
            return None
        self._at = end
        return Batch(values, text)

    def _guess(self) -> int:
        """End of the last record before another one, as far as can be seen; 0 if there is none."""
        start = len(self._buffer)
        for _ in range(_TRIES):
            start = self._buffer.rfind(b"{", self._at, start)
            if start < 0:
                break
            first = max(self._at, start - 64)
            before = self._buffer[first:start].rstrip(_SPACES)
            if before.endswith(b","):
                before = before[:-1].rstrip(_SPACES)
                if before.endswith(b"}"):
                    return first + len(before)
        return 0

    def _scanned(self) -> Batch:
        """The elements up to the end of the list or of a block, cut by brackets and quotes."""
        length = self._length(0)
        while length < _BLOCK and self._buffer[self._at + length : self._at + length + 1] == b",":
            length = self._length(length + 1)
        text = self._buffer[self._at : self._at + length]
        values = self._parsed(b"[%b]" % text)
        if not values:  # nothing stands between two commas
            raise self._fault()
        self._at += length
        return Batch(values, text)

    def _length(self, skipped: int) -> int:
        """Bytes to the end of the value that begins ``skipped`` bytes from here, read in as needed."""
        depth, length = 0, skipped
        while True:
            plain = _INSIDE if depth else _OUTSIDE
            found = cast(re.Match[bytes], plain.match(self._buffer, self._at + length))
            length = found.end() - self._at
            sign = self._buffer[found.end() : found.end() + 1]
            if sign in (b"[", b"{"):
                depth += 1
            elif sign in (b"]", b"}", b",") and depth == 0:
                return length
            elif sign in (b"]", b"}"):
                depth -= 1
            elif self._fill():  # the buffer ended, maybe within a text
                continue
            elif depth or sign:
                raise self._fault("unexpected end of data")
            else:
                return length
            length += 1

    def _parsed(self, text: bytes) -> Any:
        try:
            return self._parse(text)
        except Exception as error:
            raise self._fault("a value that is no JSON") from error
