"""Records of a COCO file, as parsed from JSON: checked values, or an error that names the record.

``coco_files`` says in which order a file is checked. ``pack_keypoints`` is the quick way for
whole batches; what it does not take, ``Record.numbers`` reads or refuses.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.evaluation.json_reader import NotStreamed
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS

WIDTH = 3 * NUM_LANDMARKS
OURS = tuple(c.id for c in CATEGORIES)
MAX_NUMBER = 1 << 53  # larger integers are no exact floats
_MAX_COORDINATE = 10**9  # squares of larger integers overflow in pycocotools
_LARGE = 1 << 26  # bytes
_MEND = "correct the file, or write it again"
_ROW = struct.Struct(f"{WIDTH}d")


class NotJson(ValueError):
    """A file can't be read, or is no JSON."""


def load_json(path: Path) -> Any:
    """Parse a whole file (``catalog.sources.base.parse_json``).

    Raises:
        NotJson: the file can't be read, or is no JSON.
    """
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise NotJson(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except Refused as refused:
        raise NotJson(f"{path}: not JSON: {refused.value}; {_MEND}") from None


def load_unstreamed(path: Path, cause: NotStreamed) -> Any:
    """Parse a whole file that could not be read by parts.

    A large file that is surely no JSON is not parsed for a better message, which takes ten times its
    size in memory.

    Raises:
        NotJson: the file can't be read, or is no JSON.
    """
    with contextlib.suppress(OSError):
        if cause.fault and path.stat().st_size > _LARGE:
            raise NotJson(f"{path}: not JSON: {cause.fault}; {_MEND}")
    return load_json(path)


@dataclass(frozen=True)
class Record:
    """One object of a file; its methods read a checked value or raise an error that names it."""

    name: str
    values: dict[str, Any]

    def error(self, message: str) -> ValueError:
        return ValueError(f"{self.name}: {message}")

    def integer(self, key: str) -> int:
        return int(self._value(key, lambda v: _finite(v) and v == int(v), "a whole number"))

    def number(self, key: str) -> float:
        return float(self._value(key, _finite, "a finite number"))

    def size(self, key: str) -> float:
        return float(self._value(key, lambda v: _finite(v) and v >= 0, "a number of at least 0"))

    def category(self, key: str, known: list[int]) -> int:
        number = self.integer(key)
        if number not in known:
            raise self.error(f"{key} {number} is unknown; it must be {_ids(known)}")
        return number

    def by_rule(self, rule: Callable[[Mapping[str, Any]], bool]) -> bool:
        try:
            return rule(self.values)
        except Refused as refused:
            raise self.error(str(refused.value)) from None

    def numbers(self, key: str, width: int) -> np.ndarray:
        values = self._value(key, lambda v: isinstance(v, list), f"{width} numbers")
        if len(values) != width:
            raise self.error(f"{key} has {len(values)} numbers, expected {width}")
        out = np.full(width, np.nan)
        if set(map(type, values)) <= {int, float}:
            with contextlib.suppress(OverflowError):
                out = np.array(values, float)
        if not (np.abs(out) <= _MAX_COORDINATE).all():
            bad = next(i for i, v in enumerate(values) if not _finite(v, _MAX_COORDINATE))
            expected = f"a finite number, at most {_MAX_COORDINATE:g}"
            raise self.error(f"{key}[{bad}] is {short(values[bad])}, expected {expected}")
        return out

    def _value(self, key: str, is_valid: Callable[[Any], bool], expected: str) -> Any:
        if key not in self.values:
            raise self.error(f"{key} is missing; expected {expected}")
        if not is_valid(self.values[key]):
            raise self.error(f"{key} is {short(self.values[key])}, expected {expected}")
        return self.values[key]


def records(path: Path, kind: str, values: Sequence[Any], first: int = 0) -> Iterator[Record]:
    """The records of a list, or of its part from number ``first`` on.

    Raises:
        ValueError: one is no object.
    """
    for n, value in enumerate(values, first):
        if not isinstance(value, dict):
            raise ValueError(f"{path}: record {n} is {short(value)}, expected an object")
        yield Record(f"{path}: {kind} {n}", value)


def pack_keypoints(values: Sequence[Any], text: bytes | None, out: np.ndarray) -> np.ndarray:
    """Write the valid ``keypoints`` of parsed records to the rows of an array.

    Args:
        values: N records; keypoints may be an array (882,) already (``quick_records``).
        text: the JSON that they were parsed from; None if it is not known.
        out: (N, 882) float64. A row without valid keypoints gets any values.

    Returns:
        (N,) bool, True where the keypoints are 882 numbers that ``Record.numbers`` takes.
    """
    # struct takes true and false for numbers. Their letters are not in the keys of a result.
    numbers_only = text is not None and b"u" not in text and b"f" not in text
    flat, packed = out.data.cast("B"), np.zeros(len(values), bool)
    for n, record in enumerate(values):
        keypoints = record.get("keypoints") if type(record) is dict else None
        if type(keypoints) is np.ndarray:
            out[n], packed[n] = keypoints, True
            continue
        if type(keypoints) is not list or len(keypoints) != WIDTH:
            continue
        if numbers_only or set(map(type, keypoints)) <= {int, float}:
            try:
                _ROW.pack_into(flat, n * _ROW.size, *keypoints)
            except (struct.error, OverflowError):
                continue
            packed[n] = True
    if packed.all() and out.size and out.max() <= _MAX_COORDINATE and out.min() >= -_MAX_COORDINATE:
        return packed
    return packed & (np.abs(out) <= _MAX_COORDINATE).all(1)


def _finite(value: Any, limit: int = MAX_NUMBER) -> bool:
    return type(value) in (int, float) and abs(value) <= limit


def _ids(known: list[int]) -> str:
    whole = known == list(range(1, len(known) + 1))
    return f"1 to {len(known)}" if whole else short(known)


def short(value: Any) -> str:
    """What a value looks like, in at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
