"""Landmarks alone, as CSV: one row an image, columns ``NAME_x``, ``NAME_y`` and maybe ``NAME_vis``.

Such tables (there are public ones of FLD) have neither boxes nor the images' sizes. FLD's README
gives the images a long side of 512 pixels; we take them as upright, 512 high, and as wide as equal
margins left and right of the landmarks make them. That image is the box: letterboxed, it gives the
frame of clusters and errors (docs/decisions.md). Where the visibility is lost, (0, 0) is cut off.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, PointSet, point_set

LONG_SIDE = 512.0


@dataclass(frozen=True)
class LandmarkTable:
    """Rows of a table. ``visibility`` (N, n) is COCO's; without codes, what has a place is visible."""

    names: list[str]
    points: PointSet
    xy: np.ndarray
    visibility: np.ndarray
    box: np.ndarray


def read_landmark_table(path: Path) -> LandmarkTable:
    """Read one table; its columns say whose landmarks they are.

    Raises:
        ValueError: it can't be read, has the columns of no clothing type, or a cell is out of place.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}") from error
    found = {c.removesuffix("_x") for c in table.columns if c.endswith("_x")}
    kinds = [point_set(kind) for kind in CLOTHES_TYPES]
    own = next((kind for kind in kinds if set(kind.point_names) == found), None)
    if own is None:
        wanted = "; or ".join(", ".join(f"{n}_x" for n in kind.point_names) for kind in kinds)
        raise ValueError(f"{path}: columns {sorted(found)[:8]} with _x; expected {wanted}")
    xy = np.stack([_numbers(path, table, [f"{n}_{a}" for n in own.point_names]) for a in "xy"], axis=-1)
    absent = (xy == 0).all(axis=-1)
    codes = np.where(absent, 2, 0)
    if f"{own.point_names[0]}_vis" in table:
        codes = _numbers(path, table, [f"{n}_vis" for n in own.point_names]).astype(int)
        wrong = ~np.isin(codes, (0, 1, 2)) | (absent & (codes < 2))
        if wrong.any():
            row, at = (int(i[0]) for i in np.nonzero(wrong))
            raise ValueError(
                f"{path}: line {row + 2}, {own.point_names[at]}: code {codes[row, at]} at "
                f"{xy[row, at].tolist()}; expected 0 visible, 1 occluded, 2 cut off at (0, 0)"
            )
    visibility = (2 - codes).astype(np.int8)
    xy = np.where(visibility[..., None] > 0, xy, 0.0)
    names = [str(n) for n in table["image_name"]] if "image_name" in table else [""] * len(table)
    return LandmarkTable(names, own, xy, visibility, image_boxes(xy, visibility > 0))


def image_boxes(xy: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The images, as far as landmarks tell: (N, 4) boxes from (0, 0), 512 high.

    The width makes the margins left and right of the landmarks equal; it holds all of them and is at
    most 512 (or as far as a landmark lies).
    """
    x = xy[..., 0]
    low = np.where(observed, x, np.inf).min(axis=1)
    high = np.where(observed, x, 0.0).max(axis=1)
    some = np.isfinite(low)
    width = np.where(some, np.where(some, low, 0.0) + high, LONG_SIDE)
    width = np.maximum(np.minimum(width, LONG_SIDE), np.maximum(high, 1.0))
    height = np.maximum(LONG_SIDE, np.where(observed, xy[..., 1], 0.0).max(axis=1))
    zeros = np.zeros(len(xy))
    return np.column_stack((zeros, zeros, width, height))


def _numbers(path: Path, table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    missing = [c for c in columns if c not in table]
    if missing:
        raise ValueError(f"{path}: no column {missing[0]}")
    values = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not np.isfinite(values).all():
        row, at = (int(i[0]) for i in np.nonzero(~np.isfinite(values)))
        cell = table[columns[at]].iloc[row]
        raise ValueError(f"{path}: line {row + 2}, {columns[at]}: {cell!r}; expected a number")
    return values
