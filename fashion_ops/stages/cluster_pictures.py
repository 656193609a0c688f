"""A picture of each cluster's mean garment, in a grid a category: what the pseudo-labels mean.

Each tile is the mean of its members' crops, letterboxed like the landmarks, with the centre on it:
left, right and middle landmarks in the colours of all our drawings. A landmark that fewer than half
of the drawn members show is left out.
"""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.draw import CENTER, LEFT, RIGHT
from fashion_ops.methods.parts.pseudo_labels import FRAME
from fashion_ops.taxonomy import Category

TILE = 152
MARGIN = 6
CAPTION = 18
HEADER = 40
GAP = 8
COLUMNS = 5
DRAWN_MEMBERS = 24
PAPER, INK, FAINT = (250, 250, 250), (40, 40, 40), (130, 130, 130)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_clusters(
    path: Path,
    category: Category,
    centers: np.ndarray,
    members: list[np.ndarray],
    garments: pa.Table,
    catalog: Catalog,
) -> None:
    """Write the grid of one category as PNG.

    Args:
        path: of the PNG.
        category: whose garments these are.
        centers: (k, n, 2) in the 224-px frame.
        members: of each cluster, rows of ``garments``.
        garments: with image_id, box and landmarks.
        catalog: where the pictures are.
    """
    lines = -(-len(centers) // COLUMNS)
    size = (HEADER + lines * (TILE + CAPTION + GAP) + GAP, COLUMNS * (TILE + GAP) + GAP, 3)
    page = np.full(size, PAPER, np.uint8)
    total = sum(len(m) for m in members)
    _text(page, f"{category.label}: {len(centers)} clusters of {total} garments", (GAP, 17), INK, 0.48)
    for x, (name, color) in zip((GAP, 62, 124), _legend(), strict=True):
        cv2.circle(page, (x + 4, 29), 4, color, -1, cv2.LINE_AA)
        cv2.circle(page, (x + 4, 29), 4, FAINT, 1, cv2.LINE_AA)
        _text(page, name, (x + 12, 33), FAINT, 0.36)
    for j, center in enumerate(centers):
        top = HEADER + (j // COLUMNS) * (TILE + CAPTION + GAP)
        left = GAP + (j % COLUMNS) * (TILE + GAP)
        shown = members[j][:: max(1, len(members[j]) // DRAWN_MEMBERS)][:DRAWN_MEMBERS]
        own = garments.take(shown).to_pylist()
        tile = _mean_crop(own, catalog)
        visibility = np.array([g["landmarks"] for g in own]).reshape(len(own), -1, 3)[..., 2]
        often = (visibility > 0).mean(axis=0) >= 0.5 if own else np.zeros(len(center), bool)
        _draw_center(tile, category, center * ((TILE - 2 * MARGIN) / FRAME) + MARGIN, often)
        page[top : top + TILE, left : left + TILE] = tile
        _text(page, f"{j}: {len(members[j])}", (left + 2, top + TILE + 13), INK, 0.38)
    if not cv2.imwrite(str(path), cv2.cvtColor(page, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path}: cannot be written")


def _mean_crop(garments: list[dict], catalog: Catalog) -> np.ndarray:
    """Mean of the letterboxed crops, RGB (TILE, TILE, 3)."""
    total = np.zeros((TILE, TILE, 3))
    for garment in garments:
        x1, y1, x2, y2 = garment["box"]
        scale = (TILE - 2 * MARGIN) / max(x2 - x1, y2 - y1)
        shift_x = (TILE - (x2 - x1) * scale) / 2 - x1 * scale
        shift_y = (TILE - (y2 - y1) * scale) / 2 - y1 * scale
        matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
        picture = catalog.image(garment["image_id"])
        total += cv2.warpAffine(
            picture, matrix, (TILE, TILE), flags=cv2.INTER_AREA, borderValue=(200, 200, 200)
        )
    return (total / max(1, len(garments))).round().astype(np.uint8)


def _draw_center(tile: np.ndarray, category: Category, center: np.ndarray, often: np.ndarray) -> None:
    points = [(round(float(x)), round(float(y))) for x, y in center]
    for a, b in category.links:
        if often[a] and often[b]:
            cv2.line(tile, points[a], points[b], (255, 255, 255), 1, cv2.LINE_AA)
    for point, name, shown in zip(points, category.landmark_names, often, strict=True):
        if not shown:
            continue
        color = LEFT if name.startswith("left") else RIGHT if name.startswith("right") else CENTER
        cv2.circle(tile, point, 3, (60, 60, 60), 1, cv2.LINE_AA)
        cv2.circle(tile, point, 2, color, -1, cv2.LINE_AA)


def _legend() -> tuple[tuple[str, tuple[int, int, int]], ...]:
    return (("left", LEFT), ("right", RIGHT), ("middle", CENTER))


def _text(
    page: np.ndarray, text: str, at: tuple[int, int], color: tuple[int, int, int], size: float
) -> None:
    cv2.putText(page, text, at, _FONT, size, color, 1, cv2.LINE_AA)
