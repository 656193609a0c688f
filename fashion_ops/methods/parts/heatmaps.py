"""The heatmap codec: landmarks to heatmaps and back, and where the cells of a heatmap lie in a crop.

Heatmap coordinates are cells: (0, 0) is the centre of the first cell. Three conventions say which crop
pixel that is. With stride S, a crop W pixels wide and maps of w = W / S cells:

- ``centers``: ``c = (x + 1/2) / S - 1/2``, a cell stands for the middle of its S pixels.
- ``ends``: ``c = x (w - 1) / (W - 1)``, the first and last cell stand for the first and last pixel
  (UDP, Huang et al., CVPR 2020).
- ``corners``: ``c = x / S``, a cell stands for its first pixel (HRNet as published).

A mirror takes pixel x to ``W - 1 - x`` and cell c to ``w - 1 - c``. With ``centers`` and ``ends`` the
maps of a crop and of its mirror image can be averaged as they are. With ``corners`` the mirrored map,
flipped back, has every peak ``(S - 1) / S`` cells too far left; HRNet's shift by one cell to the right
corrects that but for a quarter of a cell, and would spoil the other two.

Shapes: B batch, K channels, H rows, W columns.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.parts.precision import constants

Crop = tuple[int, int]  # width, height, pixels
STRIDE = 4  # crop pixels a cell
QUARTER = 0.25  # cells
BACKGROUND = 0.1  # of a map's peak; ``expectation`` ignores what lies below


def to_cells(pixels: Tensor, stride: int) -> Tensor:
    """Convert crop pixels to heatmap cells, convention ``centers``; ``stride`` is pixels a cell."""
    return (pixels + 0.5) / stride - 0.5


def to_pixels(cells: Tensor, stride: int) -> Tensor:
    """Convert heatmap cells to crop pixels, convention ``centers``; ``stride`` is pixels a cell."""
    return (cells + 0.5) * stride - 0.5


@dataclass(frozen=True)
class CellGrid:
    """The cells of the heatmaps, of stride ``STRIDE``, of a crop under one of the three conventions.

    ``crop``: (width, height) in pixels. ``convention``: ``centers | ends | corners``.
    """

    crop: Crop
    convention: str = "centers"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the heatmaps, cells."""
        return self.crop[0] // STRIDE, self.crop[1] // STRIDE

    def to_cells(self, pixels: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """Convert crop pixels x, y to heatmap cells."""
        scale, offset = self._scale_and_offset(pixels)
        return (pixels - offset) / scale

    def to_pixels(self, cells: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """Convert heatmap cells x, y to crop pixels."""
        scale, offset = self._scale_and_offset(cells)
        return cells * scale + offset

    def _scale_and_offset(self, like: Tensor) -> tuple[Tensor, float]:
        """Return the number of pixels a cell, for x and y, and the pixel of cell 0.

        ``like`` gives dtype and device.
        """
        if self.convention == "ends":
            sides = zip(self.crop, self.size, strict=True)
            return constants(tuple((pixels - 1) / (cells - 1) for pixels, cells in sides), like), 0.0
        offset = {"centers": (STRIDE - 1) / 2, "corners": 0.0}[self.convention]
        return torch.full_like(like[..., :1], STRIDE), offset


def heatmap_targets(
    landmarks: Float[Tensor, "b k 3"], grid: CellGrid, sigma: float
) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b k"]]:
    """Encode landmarks as Gaussians of peak 1.

    Args:
        landmarks: x, y in crop pixels, visibility.
        grid: the cells of the maps.
        sigma: standard deviation in cells.

    Returns:
        The maps, and the weight of each: 1 if its landmark is labelled (visible or occluded), else 0.
    """
    maps = render_gaussians(grid.to_cells(landmarks[..., :2]), grid.size, sigma)
    return maps, (landmarks[..., 2] > 0).to(maps.dtype)


def render_gaussians(
    points: Float[Tensor, "b k 2"], size: tuple[int, int], sigma: float
) -> Float[Tensor, "b k h w"]:
    """Draw one Gaussian of peak 1 on each map, also centred between cells.

    Args:
        points: the centres x, y in cells.
        size: (width, height) in cells.
        sigma: standard deviation in cells.
    """
    width, height = size
    xs = torch.arange(width, device=points.device, dtype=points.dtype)
    ys = torch.arange(height, device=points.device, dtype=points.dtype)
    gx = torch.exp(-((xs - points[..., :1]) ** 2) / (2 * sigma**2))
    gy = torch.exp(-((ys - points[..., 1:]) ** 2) / (2 * sigma**2))
    return gy[..., :, None] * gx[..., None, :]


def one_hot_maps(cells: Float[Tensor, "b k 2"], size: tuple[int, int]) -> Float[Tensor, "b k h w"]:
    """Draw one-hot maps of points: mass 1 spread bilinearly over the four cells around a point.

    A point beyond the centres of the outermost cells is first moved to the nearest point within them.

    Args:
        cells: x, y in cells.
        size: (width, height) in cells.
    """
    width, height = size
    xs = torch.arange(width, device=cells.device, dtype=cells.dtype)
    ys = torch.arange(height, device=cells.device, dtype=cells.dtype)
    wx = (1 - (xs - cells[..., :1].clamp(0, width - 1)).abs()).clamp_min(0)
    wy = (1 - (ys - cells[..., 1:].clamp(0, height - 1)).abs()).clamp_min(0)
    return wy[..., :, None] * wx[..., None, :]


def decode_peaks(heatmaps: Float[Tensor, "b k h w"], smoothing: float = 0.0) -> Float[Tensor, "b k 3"]:
    """Decode heatmaps to x, y in cells and a score, by the maximum and the sub-cell step of DARK.

    The step is the Newton step of the log-heatmap's Taylor expansion at its maximum ("Distribution-
    Aware Coordinate Representation", CVPR 2020, eq. 4-8), bounded by one cell; the score is the
    maximum itself. The maps around the maximum may first be smoothed by a Gaussian (eq. 9; its
    rescaling to the old maximum, eq. 10, moves no landmark).

    Args:
        heatmaps: of any height.
        smoothing: standard deviation of the Gaussian, cells; 0 does not smooth.
    """
    heat = heatmaps.float()
    b, k, h, w = heat.shape
    score, index = heat.flatten(2).max(-1)
    x, y = index % w, index // w
    if smoothing:
        around = _smooth_around(heat, x, y, smoothing).clamp_min(1e-10).log()
    else:
        log = F.pad(heat.clamp_min(1e-6).log().flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
        around = log.view(b, k, (h + 2) * (w + 2))

    def at(dx: int, dy: int) -> Tensor:
        if smoothing:
            return around[..., 1 + dy, 1 + dx]
        return around.gather(-1, ((y + 1 + dy) * (w + 2) + x + 1 + dx)[..., None])[..., 0]

    center = at(0, 0)
    gx, gy = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    hxx, hyy = at(1, 0) - 2 * center + at(-1, 0), at(0, 1) - 2 * center + at(0, -1)
    hxy = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    det = hxx * hyy - hxy**2
    usable = (det > 1e-6) & (hxx < 0)
    safe = torch.where(usable, det, torch.ones_like(det))
    step_x = torch.where(usable, -(hyy * gx - hxy * gy) / safe, torch.zeros_like(gx)).clamp(-1, 1)
    step_y = torch.where(usable, -(hxx * gy - hxy * gx) / safe, torch.zeros_like(gy)).clamp(-1, 1)
    return torch.stack([x + step_x, y + step_y, score], -1)


def _smooth_around(
    heat: Float[Tensor, "b k h w"], x: Tensor, y: Tensor, sigma: float
) -> Float[Tensor, "b k 3 3"]:
    """Smooth maps by a Gaussian, zero beyond the border, and return the 3x3 cells around (x, y).

    The Gaussian reaches as far as the published kernels: 5 cells for sigma 2, 8 for sigma 3.
    """
    radius = round(2.5 * sigma)
    near = torch.arange(-radius - 1, radius + 2, device=heat.device)
    h, w = heat.shape[2:]
    rows, columns = (y[..., None] + near)[..., :, None], (x[..., None] + near)[..., None, :]
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    cells = rows.clamp(0, h - 1) * w + columns.clamp(0, w - 1)
    patch = heat.flatten(2).gather(-1, cells.flatten(2)).view(cells.shape) * inside
    kernel = [math.exp(-0.5 * (n / sigma) ** 2) for n in range(-radius, radius + 1)]
    total = sum(kernel)
    bands = [[0.0] * n + [v / total for v in kernel] + [0.0] * (2 - n) for n in range(3)]
    band = torch.stack([constants(tuple(row), heat) for row in bands])
    return band @ patch @ band.T


def argmax_and_quarter(heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 3"]:
    """Decode heatmaps to x, y in cells and the height of the peak, as HRNet does.

    The position is the highest cell, moved a quarter of a cell towards its higher neighbour along each
    axis. A peak on the border is not moved along that axis.
    """
    h, w = heat.shape[2:]
    score, index = heat.flatten(2).max(-1)
    x, y = index % w, index // w

    def at(dx: int, dy: int) -> Tensor:
        place = (y + dy).clamp(0, h - 1) * w + (x + dx).clamp(0, w - 1)
        return heat.flatten(2).gather(-1, place[..., None])[..., 0]

    step_x = (at(1, 0) - at(-1, 0)).sign() * QUARTER * ((x > 0) & (x < w - 1))
    step_y = (at(0, 1) - at(0, -1)).sign() * QUARTER * ((y > 0) & (y < h - 1))
    return torch.stack([x + step_x, y + step_y, score], -1)


def expectation(heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 3"]:
    """Decode heatmaps to integral coordinates (Sun et al., ECCV 2018) in cells and the peak's height.

    The mean is taken over what rises above a tenth of the peak. A map trained with squared error is
    nowhere quite 0, and its thousands of background cells would pull the mean to the middle.
    """
    score = heat.amax((2, 3))
    mass = (heat - BACKGROUND * score[..., None, None]).clamp_min(0)
    total = mass.sum((2, 3)).clamp_min(1e-12)
    return torch.cat([_first_moments(mass) / total[..., None], score[..., None]], -1)


def soft_argmax(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 2"]:
    """Compute the mean x, y in cells under the softmax of each map (Sun et al., ECCV 2018, eq. 3)."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # from bf16
    return _first_moments(logits.flatten(2).softmax(-1).view(logits.shape))


def _first_moments(mass: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 2"]:
    """Sum up x and y, in cells, weighted by each map."""
    h, w = mass.shape[2:]
    xs, ys = (torch.arange(n, device=mass.device, dtype=mass.dtype) for n in (w, h))
    return torch.stack([(mass.sum(2) * xs).sum(-1), (mass.sum(3) * ys).sum(-1)], -1)
