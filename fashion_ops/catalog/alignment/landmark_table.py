"""Landmarks alone, as CSV: one row per image, columns ``NAME_x``, ``NAME_y`` and maybe ``NAME_vis``.

Such tables (there are public ones of FLD) have neither boxes nor image sizes. FLD's README gives the
images a long side of 512 pixels; they are assumed to be upright, 512 high, with equal margins left and
right of the landmarks. The whole image is the box: letterboxed, it gives the frame of clusters and
errors (docs/decisions.md). Where a table has no visibility, landmarks at (0, 0) are cut off.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, PointSet, point_set

LONG_SIDE = 512.0


@dataclass(frozen=True)
class LandmarkTable:
    """Rows of a table: N images of n landmarks, those of ``points``.

    Without codes in the table, landmarks that have a position are visible.
    """

    names: list[str]  # image names; "" where the table has none
    points: PointSet
    xy: np.ndarray  # (N, n, 2) pixels
    visibility: np.ndarray  # (N, n) int8, COCO's
    box: np.ndarray  # (N, 4) x1, y1, x2, y2


def read_landmark_table(path: Path) -> LandmarkTable:
    """Read one table; its columns say of which clothing type the landmarks are.

    Raises:
        ValueError: the file cannot be read, has the columns of no clothing type, or a cell is no
            number or an impossible visibility code.
    """
    try:
        table = pd.read_csv(path)
    except OSError as error:
        why = f"{os.strerror(error.errno or 0).lower()}; check the path"
        raise ValueError(f"{path}: cannot be read as CSV: {why}") from error
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}; save it as UTF-8 CSV") from error
    present = {c.removesuffix("_x") for c in table.columns if c.endswith("_x")}
    point_sets = [point_set(name) for name in CLOTHES_TYPES]
    points = next((p for p in point_sets if set(p.point_names) == present), None)
    if points is None:
        expected = "; or ".join(", ".join(f"{n}_x" for n in p.point_names) for p in point_sets)
        raise ValueError(f"{path}: columns {sorted(present)[:8]} with _x; expected {expected}")
    names = points.point_names
    xy = np.stack([_numbers(path, table, [f"{n}_{axis}" for n in names]) for axis in "xy"], axis=-1)
    absent = (xy == 0).all(axis=-1)
    codes = np.where(absent, 2, 0)
    if f"{names[0]}_vis" in table:
        codes = _numbers(path, table, [f"{n}_vis" for n in names]).astype(int)
        wrong = ~np.isin(codes, (0, 1, 2)) | (absent & (codes < 2))
        if wrong.any():
            row, at = (int(i[0]) for i in np.nonzero(wrong))
            raise ValueError(
                f"{path}: line {row + 2}, {names[at]}: code {codes[row, at]} at "
                f"{xy[row, at].tolist()}; expected 0 visible, 1 occluded, 2 cut off at (0, 0)"
            )
    visibility = (2 - codes).astype(np.int8)
    xy = np.where(visibility[..., None] > 0, xy, 0.0)
    images = [str(n) for n in table["image_name"]] if "image_name" in table else [""] * len(table)
    return LandmarkTable(images, points, xy, visibility, image_boxes(xy, visibility > 0))


def image_boxes(xy: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Estimate image sizes from landmarks: boxes (N, 4) from (0, 0), 512 pixels high.

    The width makes the margins left and right of the landmarks equal. It is at most 512, or as large
    as the landmarks need.

    Args:
        xy: landmarks (N, n, 2), pixels.
        observed: which of them have a position, bool (N, n).
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
