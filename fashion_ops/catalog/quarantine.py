"""Why a record is refused: the reasons, the row that reports it, and the exception that carries it.

A *record* is one labelled garment. Where an image or a label file is refused whole, its row counts
the garments lost with it, or one if that number is unknown; a file or folder that is not used has a
row that counts none. A crowd annotation of COCO is a record and valid, but no garment. In alignment
data a record is one image name, in whichever of the lists it occurs; there a row also names the line of
the list.
"""

from enum import StrEnum
from typing import NamedTuple

VALUE_LENGTH = 120


class Reason(StrEnum):
    """Everything that can be wrong with a record."""

    # Images, and the names of files.
    NO_IMAGE = "labels without image"
    NO_LABELS = "image without labels"
    MISSING = "image missing"
    PERMISSION = "image may not be read"
    UNDECODABLE = "image cannot be decoded"
    TRUNCATED = "image truncated"
    BOMB = "image has too many pixels"
    BYTES = "image has too many bytes"
    SUFFIX = "this suffix is not read"
    DUPLICATE = "duplicate image name"
    DUPLICATE_ID = "id given twice"
    OUTSIDE = "path leads outside the data set"
    UNUSED = "not used"
    NAME = "file name cannot be used"
    # Labels of the 13 categories.
    NOT_JSON = "not JSON"
    SHAPE = "JSON of another shape"
    SIZE = "size disagrees with labels"
    CATEGORY = "unknown category"
    COUNT = "wrong landmark count"
    NOT_FINITE = "coordinate not finite"
    VISIBILITY = "visibility outside 0..2"
    BOX = "empty or inverted box"
    CROWD = "crowd region"
    # Exports of labelling tools.
    FORMAT = "not of this format"
    FIELD = "field missing or wrong"
    LANDMARK = "unknown landmark"
    UNCLEAR = "cannot be told"
    # Lists of alignment data.
    HEADER_COUNT = "header count disagrees with rows"
    TOKENS = "wrong number of tokens"
    NOT_INTEGER = "not an integer"
    CLOTHES_TYPE = "unknown clothes type"
    TYPES_DISAGREE = "clothes types of two lists disagree"
    VARIATION = "unknown variation type"
    VISIBILITY_CODE = "unknown visibility code"
    ZERO_VISIBLE = "(0, 0) with a visible code"
    LANDMARK_OUTSIDE = "landmark outside the image"
    BOX_SWAPPED = "box swapped or empty"
    BOX_ZERO_BASED = "box is 0-based"
    BOX_OUTSIDE = "box outside the image"
    PARTITION = "unknown evaluation status"
    CODE = "unknown code"
    NOT_LISTED = "not in a list that must name it"
    ITEM = "unknown item"


class Refusal(NamedTuple):
    """One row of ``quarantine.parquet``; ``line`` is a column of alignment catalogs only."""

    split: str  # "" where it is not known
    file: str  # relative to the root of the data set
    item: str  # garment or image name; "" when the whole image is refused
    reason: str
    value: str
    num_records: int
    line: int = 0  # 1-based line of ``file``; 0 where it has no lines

    @property
    def place(self) -> str:
        """Where the record stands, for a message."""
        if self.line:
            return f"{self.file}, line {self.line}, {self.item}"
        return " ".join(part for part in (self.split, self.file, self.item) if part)


class Refused(Exception):
    """An image, label file, row or item is refused.

    Args:
        reason: what is wrong.
        value: what stood there, or a sentence about it.
        num_records: garments lost with it; 1 if unknown.
    """

    def __init__(self, reason: Reason, value: object, num_records: int = 1) -> None:
        super().__init__(reason, value, num_records)
        self.reason = reason
        self.value = value
        self.num_records = num_records

    def row(
        self, split: str, file: str, item: str = "", num_records: int | None = None, line: int = 0
    ) -> Refusal:
        """The row to report; ``item`` and ``value`` are cut to a readable length."""
        count = self.num_records if num_records is None else num_records
        place = file if is_utf8(file) else readable(file)
        return Refusal(split, place, short(item), self.reason.value, short(self.value), count, line)


def short(value: object) -> str:
    """``value`` as one line of at most ``VALUE_LENGTH`` characters, valid UTF-8 whatever came in."""
    text = readable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"


def readable(text: str) -> str:
    """``text`` as one line of valid UTF-8; bytes of a file name that is not UTF-8 become escapes."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that is no byte of a file name; JSON may hold one
        raw = text.encode("utf-8", "backslashreplace")
    return " ".join(raw.decode("utf-8", "backslashreplace").split())


def is_utf8(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: names of files and strings of JSON may not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
