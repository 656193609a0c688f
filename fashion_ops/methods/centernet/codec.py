"""How a garment is written on CenterNet's maps, and how it is read back.

Grid coordinates: g = (pixel + 0.5) / 4, so the cell of a point is floor(g) and the middle of the cell
(x, y) is (x + 0.5, y + 0.5). A box is a centre cell with a size (``wh``) and the centre's offset in
that cell (``reg``); a landmark is an offset from a cell (``hps``, ``hp_offset``). All are in cells.
``targets`` encodes with these functions, ``decode`` and ``landmarks`` decode with them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

STRIDE = 4  # pixels a cell


def to_grid(pixels: Tensor) -> Tensor:
    """Convert input pixels to grid coordinates."""
    return (pixels + 0.5) / STRIDE


def from_grid(grid: Tensor) -> Tensor:
    """Convert grid coordinates to input pixels."""
    return grid * STRIDE - 0.5


def flat_cells(image: Int[Tensor, " n"], cells: Int[Tensor, "n 2"], side: int) -> Int[Tensor, " n"]:
    """Number the cells (x, y) of a batch of square maps as ``(image * side + y) * side + x``."""
    return (image * side + cells[:, 1]) * side + cells[:, 0]


def encode_boxes(
    boxes: Float[Tensor, "n 4"], cells: Int[Tensor, "n 2"]
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Encode boxes x1, y1, x2, y2 as their size ``wh`` and their centre's offset ``reg`` from a cell.

    All are in grid coordinates; ``cells`` (x, y) need not be the cell of the centre.
    """
    return boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2 - cells


def decode_boxes(
    wh: Float[Tensor, "n 2"], reg: Float[Tensor, "n 2"], cells: Float[Tensor, "n 2"]
) -> Float[Tensor, "n 4"]:
    """Invert ``encode_boxes``: boxes x1, y1, x2, y2 in grid coordinates; negative sizes count as 0."""
    center, extent = cells + reg, wh.clamp_min(0)
    return torch.cat([center - extent / 2, center + extent / 2], -1)


def encode_points(points: Float[Tensor, "*n 2"], cells: Int[Tensor, "*#n 2"]) -> Float[Tensor, "*n 2"]:
    """Encode points as their offsets from cells, all in grid coordinates."""
    return points - cells


def decode_points(offsets: Float[Tensor, "*n 2"], cells: Tensor) -> Float[Tensor, "*n 2"]:
    """Invert ``encode_points``; ``cells`` (..., 2) may be whole numbers or floats."""
    return cells + offsets


def mirror_displacements(
    hps: Float[Tensor, "b k2 h w"], mirror: Int[Tensor, " k"]
) -> Float[Tensor, "b k2 h w"]:
    """Convert the displacements of mirrored images to those of the images.

    A displacement starts at its cell's left edge, so it mirrors as x -> 1 - x.

    Args:
        hps: displacements x and y of each of K landmarks, alternating; the map itself is already
            flipped back along x.
        mirror: permutation of the K channels under a flip.
    """
    moved = hps.unflatten(1, (-1, 2))[:, mirror]
    return torch.stack([1 - moved[:, :, 0], moved[:, :, 1]], 2).flatten(1, 2)
