"""Pages of clusters: the mean garment of each cluster in a grid, one page per category.

Each tile is the mean of some members' crops, letterboxed like the landmarks, with the cluster centre
drawn on it: left, right and middle landmarks in the colours of ``reports.draw``. A landmark that fewer
than half of the averaged members show is left out.
"""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from fashion_ops.catalog.reader import Catalog
from fashion_ops.methods.parts.pseudo_labels import FRAME
from fashion_ops.reports.draw import CENTER, LEFT, RIGHT, side_color, write_png
from fashion_ops.taxonomy import Category

TILE = 152
MARGIN = 6
CAPTION = 18
HEADER = 40
GAP = 8
COLUMNS = 5
AVERAGED_MEMBERS = 24
PAPER, INK, FAINT = (250, 250, 250), (40, 40, 40), (130, 130, 130)
_LEGEND = (("left", LEFT), ("right", RIGHT), ("middle", CENTER))
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_clusters(
    path: Path,
    category: Category,
    centers: np.ndarray,
    members: list[np.ndarray],
    garments: pa.Table,
    catalog: Catalog,
) -> None:
    """Write the page of one category.

    Args:
        path: of the PNG.
        category: of the garments.
        centers: (k, n, 2) in the 224-px frame.
        members: for each cluster its rows in ``garments``.
        garments: with image_id, box and landmarks.
        catalog: reads the images.
    """
    tiles, captions = [], []
    links = tuple((a, b) for a, b in category.links)
    colors = [side_color(name) for name in category.landmark_names]
    for j, center in enumerate(centers):
        averaged = garments.take(some_members(members[j])).to_pylist()
        tile = _mean_crop(averaged, catalog)
        landmarks = np.array([g["landmarks"] for g in averaged]).reshape(len(averaged), -1, 3)
        often = (landmarks[..., 2] > 0).mean(axis=0) >= 0.5 if averaged else np.zeros(len(center), bool)
        draw_points(tile, to_tile(center), colors, links, often)
        tiles.append(tile)
        captions.append(f"{j}: {len(members[j])}")
    total = sum(len(m) for m in members)
    draw_page(path, f"{category.label}: {len(centers)} clusters of {total} garments", tiles, captions)


def draw_page(path: Path, title: str, tiles: list[np.ndarray], captions: list[str]) -> None:
    """Write tiles, RGB (TILE, TILE, 3), as a grid with captions below a title and a legend.

    Raises:
        OSError: the PNG cannot be written.
    """
    lines = -(-len(tiles) // COLUMNS)
    size = (HEADER + lines * (TILE + CAPTION + GAP) + GAP, COLUMNS * (TILE + GAP) + GAP, 3)
    page = np.full(size, PAPER, np.uint8)
    _text(page, title, (GAP, 17), INK, 0.48)
    for x, (name, color) in zip((GAP, 62, 124), _LEGEND, strict=True):
        cv2.circle(page, (x + 4, 29), 4, color, -1, cv2.LINE_AA)
        cv2.circle(page, (x + 4, 29), 4, FAINT, 1, cv2.LINE_AA)
        _text(page, name, (x + 12, 33), FAINT, 0.36)
    for j, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        top = HEADER + (j // COLUMNS) * (TILE + CAPTION + GAP)
        left = GAP + (j % COLUMNS) * (TILE + GAP)
        page[top : top + TILE, left : left + TILE] = tile
        _text(page, caption, (left + 2, top + TILE + 13), INK, 0.38)
    write_png(path, page)


def some_members(members: np.ndarray) -> np.ndarray:
    """At most ``AVERAGED_MEMBERS`` members of a cluster, spread over all of them."""
    return members[:: max(1, len(members) // AVERAGED_MEMBERS)][:AVERAGED_MEMBERS]


def to_tile(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) of the 224-px frame as pixels of a tile."""
    return points * ((TILE - 2 * MARGIN) / FRAME) + MARGIN


def _mean_crop(garments: list[dict], catalog: Catalog) -> np.ndarray:
    """Mean of the letterboxed crops, RGB (TILE, TILE, 3)."""
    total = np.zeros((TILE, TILE, 3))
    for garment in garments:
        x1, y1, x2, y2 = garment["box"]
        scale = (TILE - 2 * MARGIN) / max(x2 - x1, y2 - y1)
        shift_x = (TILE - (x2 - x1) * scale) / 2 - x1 * scale
        shift_y = (TILE - (y2 - y1) * scale) / 2 - y1 * scale
        matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
        image = catalog.image(garment["image_id"])
        total += cv2.warpAffine(
            image, matrix, (TILE, TILE), flags=cv2.INTER_AREA, borderValue=(200, 200, 200)
        )
    return (total / max(1, len(garments))).round().astype(np.uint8)


def draw_points(
    tile: np.ndarray,
    points: np.ndarray,
    colors: list[tuple[int, int, int]],
    links: tuple[tuple[int, int], ...],
    often: np.ndarray,
) -> None:
    """Draw landmarks and the links between them onto a tile.

    Args:
        tile: RGB uint8, changed in place.
        points: (n, 2), pixels of the tile.
        colors: of each landmark.
        links: pairs of landmarks.
        often: bool (n,), which landmarks are drawn.
    """
    places = [(round(float(x)), round(float(y))) for x, y in points]
    for a, b in links:
        if often[a] and often[b]:
            cv2.line(tile, places[a], places[b], (255, 255, 255), 1, cv2.LINE_AA)
    for place, color, drawn in zip(places, colors, often, strict=True):
        if drawn:
            cv2.circle(tile, place, 3, (60, 60, 60), 1, cv2.LINE_AA)
            cv2.circle(tile, place, 2, color, -1, cv2.LINE_AA)


def _text(
    page: np.ndarray, text: str, at: tuple[int, int], color: tuple[int, int, int], size: float
) -> None:
    cv2.putText(page, text, at, _FONT, size, color, 1, cv2.LINE_AA)
