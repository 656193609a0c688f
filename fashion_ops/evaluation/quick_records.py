"""Parse COCO results with their keypoints as arrays, by simdjson where it is installed.

orjson makes an object of each of the 882 numbers of a result, and ``struct`` numbers of the objects.
simdjson writes the numbers to an array at once, in half of the time; they are those of orjson to the
last bit. Whatever it refuses (NaN, integers of more than 64 bits) orjson decides.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import orjson

from fashion_ops.evaluation.json_reader import Batch
from fashion_ops.taxonomy import NUM_LANDMARKS

_BRACKET = ord("[")
_WIDTH = 3 * NUM_LANDMARKS
# It has no wheel for every system.
_SIMDJSON: Any = import_module("simdjson") if find_spec("simdjson") else None
_PARSER = _SIMDJSON.Parser() if _SIMDJSON else None


def quick_records(text: bytes) -> Any:
    """Parse a list of records; ``keypoints`` of 882 numbers become an array (882,), float64.

    Raises:
        ValueError: the text is no JSON, or holds what the parser does not read.
    """
    if _PARSER is None:
        return orjson.loads(text)
    try:
        records = [_fields(record) for record in _PARSER.parse(text)]
    except (AttributeError, TypeError, RuntimeError):
        # An element is no object, keypoints are not all numbers, or another thread uses the parser.
        return orjson.loads(text)
    lists = sum(type(value) in (list, np.ndarray) for record in records for value in record.values())
    # Numbers of a list within the keypoints would be among them.
    brackets = np.count_nonzero(np.frombuffer(text, np.uint8) == _BRACKET)
    return records if brackets == 1 + lists else orjson.loads(text)


def _fields(record: Any) -> dict[str, Any]:
    fields = {key: record[key] for key in record.keys()}  # noqa: SIM118 - simdjson's, no dict
    if len(fields) != len(record):
        raise TypeError("a key appears twice")
    for key, value in fields.items():
        if key == "keypoints" and len(value) == _WIDTH:
            fields[key] = np.frombuffer(value.as_buffer(of_type="d"))
        elif isinstance(value, _SIMDJSON.Array):
            fields[key] = value.as_list()
        elif isinstance(value, _SIMDJSON.Object):
            fields[key] = value.as_dict()
    return fields


def exact_record(batch: Batch, n: int) -> Any:
    """Record n of a batch as orjson or ``json`` parses it."""
    record = batch.values[n]
    if batch.text is None or type(record) is not dict:
        return record
    is_array = type(record.get("keypoints")) is np.ndarray
    return orjson.loads(b"[%b]" % batch.text)[n] if is_array else record
