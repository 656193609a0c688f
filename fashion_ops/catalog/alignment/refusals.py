"""Why a record of an alignment data set is refused, and where it stood: file and line.

A *record* is one labelled garment: one image's name, whichever of the lists it occurs in.
"""

from enum import StrEnum
from typing import NamedTuple

from fashion_ops.catalog.quarantine import short


class Reason(StrEnum):
    """What can be wrong with a record besides its image (``catalog.quarantine.Reason``)."""

    HEADER_COUNT = "header count disagrees with rows"
    TOKENS = "wrong number of tokens"
    NOT_INTEGER = "not an integer"
    CLOTHES_TYPE = "unknown clothes type"
    TYPES_DISAGREE = "clothes types of two lists disagree"
    VARIATION = "unknown variation type"
    VISIBILITY = "unknown visibility code"
    ZERO_VISIBLE = "(0, 0) with a visible code"
    LANDMARK_OUTSIDE = "landmark outside the image"
    BOX_SWAPPED = "box swapped or empty"
    BOX_ZERO_BASED = "box is 0-based"
    BOX_OUTSIDE = "box outside the image"
    PARTITION = "unknown evaluation status"
    CODE = "unknown code"
    DUPLICATE = "duplicate image name"
    NOT_LISTED = "not in a list that must name it"
    ITEM = "unknown item"


class Refusal(NamedTuple):
    """One row of an alignment catalog's ``quarantine.parquet``."""

    split: str  # "" where it is not known
    file: str  # from the root of the data set
    line: int  # 1-based; 0 where the whole file, or a file without lines, is meant
    item: str  # image name
    reason: str
    value: str
    num_records: int


class Refused(Exception):
    """A record is refused."""

    def __init__(self, reason: StrEnum, value: object) -> None:
        super().__init__(reason, value)
        self.reason = reason
        self.value = value

    def at(self, file: str, line: int, item: str, split: str = "", num_records: int = 1) -> Refusal:
        """The row to report."""
        return Refusal(
            split, file, line, short(item), self.reason.value, short(self.value), num_records
        )
