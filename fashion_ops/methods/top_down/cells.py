"""Where a heatmap's cells lie in the crop: three conventions, and what a mirror does to each.

A mirror takes pixel x to ``W - 1 - x`` and cell c to ``w - 1 - c``. With stride S and ``w = W / S``:

- ``centers``: ``c = (x + 1/2) / S - 1/2``, a cell stands for the middle of its S pixels. Cells go onto
  cells: the maps of the crop and of its mirror can be averaged as they are.
- ``ends``: ``c = x (w - 1) / (W - 1)``, the first and last cell stand for the first and last pixel
  (UDP, Huang et al., CVPR 2020). Cells go onto cells as well.
- ``corners``: ``c = x / S``, a cell stands for its first pixel (HRNet as published). The mirrored map,
  flipped back, has every peak ``(S - 1) / S`` cells to the left: three quarters. HRNet's shift by one
  cell to the right mends that but for a quarter of a cell, and would spoil the other two.

So the shift belongs to ``corners`` and to nothing else, and ``flip_shift`` sets both.
"""

import torch
from torch import Tensor

Crop = tuple[int, int]  # width, height, pixels
STRIDE = 4


def cell_kind(decode: str, flip_shift: bool) -> str:
    """The convention that these two settings mean."""
    if decode == "udp":
        return "ends"
    return "corners" if flip_shift else "centers"


def map_size(crop: Crop) -> tuple[int, int]:
    """(width, height) of the heatmaps of a crop."""
    return crop[0] // STRIDE, crop[1] // STRIDE


def to_cells(pixels: Tensor, crop: Crop, kind: str) -> Tensor:
    """Crop pixels (..., 2) to heatmap cells."""
    scale, offset = _scale_and_offset(pixels, crop, kind)
    return (pixels - offset) / scale


def to_pixels(cells: Tensor, crop: Crop, kind: str) -> Tensor:
    """Heatmap cells (..., 2) to crop pixels."""
    scale, offset = _scale_and_offset(cells, crop, kind)
    return cells * scale + offset


def _scale_and_offset(like: Tensor, crop: Crop, kind: str) -> tuple[Tensor, float]:
    """Pixels a cell, for x and y, and the pixel of cell 0."""
    if kind == "ends":
        sides = zip(crop, map_size(crop), strict=True)
        return like.new_tensor([(pixels - 1) / (cells - 1) for pixels, cells in sides]), 0.0
    offset = {"centers": (STRIDE - 1) / 2, "corners": 0.0}[kind]
    return torch.full_like(like[..., :1], STRIDE), offset
