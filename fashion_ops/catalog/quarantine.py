"""Why a record is refused: the reasons, the row that reports it, and the exception that carries it.

A *record* is one labelled garment. Where an image or a label file is refused whole, its row counts
the garments lost with it, or one if that can't be known.
"""

from enum import StrEnum
from typing import NamedTuple

VALUE_LENGTH = 120


class Reason(StrEnum):
    """Everything that can be wrong with a record."""

    NOT_JSON = "not JSON"
    SHAPE = "JSON of another shape"
    NO_IMAGE = "labels without image"
    NO_LABELS = "image without labels"
    MISSING = "image missing"
    UNDECODABLE = "image cannot be decoded"
    TRUNCATED = "image truncated"
    BOMB = "image has too many pixels"
    BYTES = "image has too many bytes"
    SIZE = "size disagrees with labels"
    CATEGORY = "unknown category"
    COUNT = "wrong landmark count"
    NOT_FINITE = "coordinate not finite"
    VISIBILITY = "visibility outside 0..2"
    BOX = "empty or inverted box"
    DUPLICATE = "duplicate image name"
    OUTSIDE = "path leads outside the data set"


class Refusal(NamedTuple):
    """One row of ``quarantine.parquet``."""

    split: str
    file: str
    item: str
    reason: str
    value: str
    num_records: int


class Refused(Exception):
    """An image, label file or item is refused. ``num_records``: garments lost (1 if unknown)."""

    def __init__(self, reason: Reason, value: object, num_records: int = 1) -> None:
        super().__init__(reason, value, num_records)
        self.reason = reason
        self.value = value
        self.num_records = num_records

    def row(self, split: str, file: str, item: str = "", num_records: int | None = None) -> Refusal:
        """The row to report, ``value`` cut to a readable length."""
        count = self.num_records if num_records is None else num_records
        return Refusal(split, file, item, self.reason.value, short(self.value), count)


def short(value: object) -> str:
    """``value`` as one line of at most ``VALUE_LENGTH`` characters, valid UTF-8 whatever came in."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"
