"""A page of the clusters of one DFA stage, as Fig. 4 of the paper: typical garments, typical errors.

Each tile is the mean of some members' crops with their mean landmarks. In stages 2 and 3 arrows lead
from each landmark to the previous stage's estimate, and the caption gives e(C), the size of that error.
"""

from pathlib import Path

import cv2
import numpy as np

from fashion_ops.methods.alignment.crops import Crops, to_pixels
from fashion_ops.methods.alignment.data import Split
from fashion_ops.methods.alignment.dfa.targets import PseudoLabels
from fashion_ops.reports.clusters import MARGIN, TILE, draw_page, draw_points, some_members
from fashion_ops.reports.draw import side_color

ARROW = (255, 210, 60)
MIN_OBSERVED = 0.5  # share of members with the landmark from which it is drawn


def draw_patterns(
    path: Path, stage: int, labels: PseudoLabels, train: Split, previous: np.ndarray | None
) -> None:
    """Write the clusters of one stage as PNG.

    Args:
        path: of the PNG.
        stage: 1, 2 or 3.
        labels: the clusters.
        train: the garments that they were fitted to.
        previous: the previous stage's positions (N, n, 2), normalised; None in stage 1.
    """
    shapes = train.shapes
    d = labels.distances(shapes.positions, previous, shapes.observed)
    nearest = np.where(shapes.observed.any(axis=1), d.argmin(axis=1), -1)
    colors = [side_color(name) for name in train.points.point_names]
    tiles, captions = [], []
    for j in range(len(labels.centers)):
        members = np.flatnonzero(nearest == j)
        observed = shapes.observed[members]
        often = observed.mean(axis=0) >= MIN_OBSERVED if len(members) else np.zeros(len(colors), bool)
        tile = _mean_crop(train.crops, some_members(members))
        points = _to_tile(_mean(shapes.positions[members], observed))
        draw_points(tile, points, colors, train.points.links, often)
        caption = f"{j}: {len(members)}"
        if previous is not None:
            _draw_arrows(tile, points, _to_tile(_mean(previous[members], observed)), often)
            caption += f", error {labels.errors[j]:.2f}"
        tiles.append(tile)
        captions.append(caption)
    title = f"DFA stage {stage}, {labels.space}: {len(tiles)} clusters of {len(shapes)} garments"
    draw_page(path, title, tiles, captions)


def _mean(points: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Mean of each landmark (n, 2) over the members in which it is observed."""
    weight = observed[..., None].astype(float)
    return (np.where(observed[..., None], points, 0.0) * weight).sum(0) / np.maximum(weight.sum(0), 1)


def _to_tile(positions: np.ndarray) -> np.ndarray:
    return to_pixels(positions, TILE - 2 * MARGIN) + MARGIN


def _mean_crop(crops: Crops, rows: np.ndarray) -> np.ndarray:
    """Mean of the crops of these rows, RGB (TILE, TILE, 3), with a margin."""
    tile = np.full((TILE, TILE, 3), 200, np.uint8)
    if len(rows):
        mean = crops.take(rows).float().mean(0).permute(1, 2, 0).round().byte().numpy()
        side = TILE - 2 * MARGIN
        tile[MARGIN:-MARGIN, MARGIN:-MARGIN] = cv2.resize(mean, (side, side))
    return tile


def _draw_arrows(tile: np.ndarray, start: np.ndarray, end: np.ndarray, often: np.ndarray) -> None:
    for a, b, drawn in zip(start.round().astype(int), end.round().astype(int), often, strict=True):
        if drawn:
            cv2.arrowedLine(tile, tuple(a), tuple(b), ARROW, 1, cv2.LINE_AA, tipLength=0.3)
