"""One labelled garment of alignment data, and how rows of landmarks and boxes become one.

FLD's visibility codes (0 visible, 1 occluded, 2 cut off) become COCO's; a cut-off landmark has no
position. In the files, coordinates count from 1 and the last pixel of a box belongs to it, so they
become x - 1, y - 1 and [x1 - 1, x2).
"""

from dataclasses import dataclass, field

import numpy as np

from fashion_ops.catalog.alignment.list_file import ListFile, Row, expect, integers
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, points_of_type

COCO_OF_CODE = np.array([2, 1, 0], np.int8)  # FLD's 0 visible, 1 occluded, 2 cut off
VARIATIONS = range(1, 6)
NO_ATTRIBUTES = np.zeros(0, np.int8)
_TOLERANCE = 1.0  # pixels by which a landmark may lie beyond the image


@dataclass(slots=True)
class Record:
    """One garment (or person) and its image, not yet opened."""

    name: str  # as in the lists
    image: str  # path of the image, relative to the root
    file: str  # the file and line of its landmarks
    line: int
    split: str
    clothes_type: int  # 1 upper, 2 lower, 3 full; 0 a person
    box: np.ndarray  # (4,) float64; clamped by ``fit_to_image``
    xy: np.ndarray  # (n, 2) float64
    visibility: np.ndarray  # (n,) int8, COCO's
    codes: np.ndarray  # (n,) int8, visibility as the source gives it
    box_at: tuple[str, int] = ("", 0)  # file and line of its box, where they are others
    variation: int = 0
    pose: int = 0
    source: str = ""
    item_id: str = ""
    category: str = ""
    attributes: np.ndarray = field(default_factory=lambda: NO_ATTRIBUTES)
    joints: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))


@dataclass(frozen=True)
class Landmarks:
    """One row of ``list_landmarks*.txt``."""

    clothes_type: int
    variation: int  # 0 where the list has no such column
    xy: np.ndarray
    visibility: np.ndarray
    codes: np.ndarray


def has_variation(listed: ListFile) -> bool:
    """Whether this list of landmarks has a column ``variation_type``, by its header."""
    return "variation_type" in listed.columns


def clothes_type(code: int) -> int:
    """``code`` if it is 1, 2 or 3; else raises Refused."""
    if not 1 <= code <= len(CLOTHES_TYPES):
        raise Refused(Reason.CLOTHES_TYPE, f"{code}; expected 1 upper, 2 lower, 3 full")
    return code


def parse_landmarks(row: Row, variation: bool) -> Landmarks:
    """Parse a row: image, clothes type, variation type if there is that column, then (code, x, y) each.

    Rows differ in length: 6 landmarks for upper-body clothes, 4 for lower-body, 8 for full-body.

    Raises:
        Refused: a field is missing, out of range, or contradicts another.
    """
    start = 3 if variation else 2
    if len(row.fields) < start:
        raise Refused(Reason.TOKENS, f"{len(row.fields)} tokens; expected at least {start}")
    type_code = clothes_type(integers(row.fields[1:2])[0])
    kind = points_of_type(type_code)
    expect(row, start + 3 * kind.num_points, f"{kind.num_points} landmarks of {kind.name}-body clothes")
    variation_code = integers(row.fields[2:3])[0] if variation else 0
    if variation and variation_code not in VARIATIONS:
        raise Refused(Reason.VARIATION, f"{variation_code}; expected 1..5")
    values = np.array(integers(row.fields[start:]), np.int64).reshape(-1, 3)
    codes, points = values[:, 0], values[:, 1:]
    if ((codes < 0) | (codes > 2)).any():
        odd = int(codes[(codes < 0) | (codes > 2)][0])
        raise Refused(Reason.VISIBILITY_CODE, f"{odd}; expected 0 visible, 1 occluded, 2 cut off")
    absent = (points == 0).all(axis=1)
    wrong = np.flatnonzero(absent & (codes < 2))
    if len(wrong):
        first = wrong[0]
        raise Refused(
            Reason.ZERO_VISIBLE,
            f"landmark {first + 1}, {kind.point_names[first]}: code {codes[first]}; expected 2",
        )
    cut_off = absent | (codes == 2)
    visibility = np.where(cut_off, 0, COCO_OF_CODE[codes]).astype(np.int8)
    xy = np.where(cut_off[:, None], 0.0, points - 1.0)
    return Landmarks(type_code, variation_code, xy, visibility, codes.astype(np.int8))


def parse_joints(row: Row) -> np.ndarray:
    """Parse a row of FLD's ``list_joints.txt``.

    Returns:
        (14, 3) x, y and visibility (COCO's); (0, 3) where a row has no joints.

    Raises:
        Refused: the number of fields or a visibility code is wrong.
    """
    if len(row.fields) == 3:
        return np.zeros((0, 3))
    expect(row, 3 + 3 * 14, "14 joints, or none")
    values = np.array(integers(row.fields[3:]), np.float64).reshape(14, 3)
    if not np.isin(values[:, 0], (0, 1)).all():
        raise Refused(Reason.VISIBILITY_CODE, f"joint code {values[:, 0].max():.0f}; expected 0 or 1")
    known = (values[:, 1:] > 0).any(axis=1, keepdims=True)
    return np.where(known, np.column_stack((values[:, 1:] - 1, 2 - values[:, 0])), 0)


def parse_box(fields: list[str]) -> np.ndarray:
    """x_1, y_1, x_2, y_2 as in ``list_bbox*.txt`` -> (4,) from 0, right and lower side exclusive.

    Raises:
        Refused: the corners are swapped, or the coordinates count from 0.
    """
    x1, y1, x2, y2 = box = integers(fields)
    if x2 < x1 or y2 < y1:
        raise Refused(Reason.BOX_SWAPPED, f"{box}; expected x_1 <= x_2 and y_1 <= y_2")
    if min(x1, y1) < 1:
        raise Refused(Reason.BOX_ZERO_BASED, f"{box}; expected x_1, y_1 from 1 on")
    return np.array([x1 - 1, y1 - 1, x2, y2], np.float64)


def fit_to_image(record: Record, width: int, height: int) -> None:
    """Clamp the box of ``record`` to its image (pixels) and check its landmarks against the image.

    Raises:
        Refused: the box or a landmark lies outside.
    """
    box = np.clip(record.box, 0, [width, height, width, height])
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise Refused(Reason.BOX_OUTSIDE, f"{record.box.tolist()} of an image {width}x{height}")
    limit = np.array([width, height]) - 1 + _TOLERANCE
    labelled = record.visibility > 0
    beyond = labelled & ((record.xy < -_TOLERANCE) | (record.xy > limit)).any(axis=1)
    if beyond.any():
        where = record.xy[beyond][0].tolist()
        raise Refused(Reason.LANDMARK_OUTSIDE, f"{where} of an image {width}x{height}")
    record.box = box
