"""Sheets of tiles for the figures that show photos: one line a garment, one column a method."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fashion_ops.methods.alignment.crops import Crops, to_pixels
from fashion_ops.reports.clusters import draw_points
from fashion_ops.reports.draw import side_color, write_png
from fashion_ops.taxonomy.alignment import PointSet

TILE, GAP, HEAD, TITLE = 144, 6, 22, 30
PAPER, INK, FAINT = (250, 250, 250), (40, 40, 40), (110, 110, 110)
RIGHT_MATCH, WRONG_MATCH = (40, 160, 70), (200, 200, 200)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def write_sheet(
    path: Path, title: str, heads: Sequence[str], lines: Sequence[Sequence[np.ndarray]]
) -> None:
    """Write lines of tiles, RGB (TILE, TILE, 3), below the names of their columns.

    Raises:
        OSError: the PNG cannot be written.
    """
    height = TITLE + HEAD + len(lines) * (TILE + GAP) + GAP
    page = np.full((height, len(heads) * (TILE + GAP) + GAP, 3), PAPER, np.uint8)
    cv2.putText(page, title, (GAP, 20), _FONT, 0.5, INK, 1, cv2.LINE_AA)
    for k, head in enumerate(heads):
        at = (GAP + k * (TILE + GAP), TITLE + 14)
        cv2.putText(page, head, at, _FONT, 0.38, FAINT, 1, cv2.LINE_AA)
    for i, tiles in enumerate(lines):
        top = TITLE + HEAD + i * (TILE + GAP)
        for k, tile in enumerate(tiles):
            left = GAP + k * (TILE + GAP)
            page[top : top + TILE, left : left + TILE] = tile
    write_png(path, page)


def crop_tile(crops: Crops, row: int) -> np.ndarray:
    """The crop of one garment as a tile."""
    crop = crops.take(np.array([row]))[0].permute(1, 2, 0).numpy()
    return cv2.resize(np.ascontiguousarray(crop), (TILE, TILE), interpolation=cv2.INTER_LINEAR)


def landmark_tile(
    crops: Crops, row: int, positions: np.ndarray, points: PointSet, shown: np.ndarray
) -> np.ndarray:
    """The crop of one garment with landmarks on it.

    Args:
        crops: of all garments.
        row: of the garment.
        positions: (n, 2), normalised.
        points: their names and links.
        shown: bool (n,), which of them are drawn.
    """
    tile = crop_tile(crops, row)
    colors = [side_color(name) for name in points.point_names]
    draw_points(tile, to_pixels(positions, TILE), colors, points.links, shown)
    return tile


def framed(tile: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """The tile with a frame of this colour inside its border."""
    out = tile.copy()
    cv2.rectangle(out, (1, 1), (TILE - 2, TILE - 2), color, 4)
    return out


def spread(count: int, wanted: int, start: float = 0.0) -> np.ndarray:
    """At most ``wanted`` indices of ``count`` things, evenly spread from a part of a step on."""
    wanted = min(wanted, count)
    return ((np.arange(wanted) + start) * count / max(wanted, 1)).astype(int)
