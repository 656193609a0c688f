"""DeepFashion's ``list_*.txt``: row count, column names, rows; two spaces between fields."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fashion_ops.synthetic.alignment.photos import Photo
from fashion_ops.taxonomy.alignment import NUM_SLOTS

BOX_COLUMNS = "x_1 y_1 x_2 y_2"


def write_list(path: Path, columns: str | None, rows: Sequence[str]) -> None:
    """Write a list; ``columns`` None leaves out the line of column names."""
    head = [str(len(rows))] if columns is None else [str(len(rows)), columns]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


def landmark_columns(variation: bool) -> str:
    """Column names of ``list_landmarks*.txt``: of 8 landmarks, even where rows have fewer."""
    first = "image_name clothes_type " + ("variation_type " if variation else "")
    return first + " ".join(
        f"landmark_visibility_{i} landmark_location_x_{i} landmark_location_y_{i}"
        for i in range(1, NUM_SLOTS + 1)
    )


def landmark_row(name: str, photo: Photo, *, variation: bool, padded: bool = False) -> str:
    """A row of landmarks; ``padded`` integers have three digits, as in Category & Attribute."""
    digits = "03d" if padded else "d"
    points = (f"{code} {x:{digits}} {y:{digits}}" for code, x, y in photo.landmarks)
    codes = (str(photo.variation),) if variation else ()
    return "  ".join((name, str(photo.clothes_type), *codes, *points))


def joint_columns() -> str:
    """Column names of FLD's ``list_joints.txt``."""
    return "image_name clothes_type variation_type " + " ".join(
        f"joint_visibility_{i} joint_location_x_{i} joint_location_y_{i}" for i in range(1, 15)
    )


def joint_row(name: str, photo: Photo) -> str:
    """A row of joints; a garment that nobody wears has none."""
    points = (f"{code} {x} {y}" for code, x, y in photo.joints)
    return "  ".join((name, str(photo.clothes_type), str(photo.variation), *points))


def box_row(name: str, photo: Photo, *codes: int, padded: bool = False) -> str:
    """A row of ``list_bbox*.txt``; ``codes`` are the columns that some lists have before the box."""
    digits = "03d" if padded else "d"
    return "  ".join((name, *map(str, codes), *(f"{int(v):{digits}}" for v in photo.box)))


def value_row(name: str, values: np.ndarray) -> str:
    """A name and its attribute values."""
    return f"{name}  " + " ".join(f"{v:2d}" for v in values)


def write_images(folder: Path, photos: Iterable[tuple[str, Photo]]) -> None:
    """Write the JPEGs, each under its name."""
    for name, photo in photos:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo.jpeg)
