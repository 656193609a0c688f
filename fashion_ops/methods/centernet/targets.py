"""CenterNet's training targets, for a whole batch on its device (Zhou et al., 2019; released code).

Grid coordinates: g = (pixel + 0.5) / 4, so the cell of a point is floor(g) and its offset g - floor(g).
Gaussians stand on whole cells; their radius follows from the garment's box and is the same for its
centre and its landmarks.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fashion_ops.methods.centernet.model import STRIDE
from fashion_ops.taxonomy import NUM_CATEGORIES

Radius = Literal["published", "corrected"]
MIN_OVERLAP = 0.7
SIZES = 8  # of Gaussian windows, in one batch


@dataclass(frozen=True)
class Targets:
    """Heatmaps, and regression targets as lists over cells at centres (N) and labelled landmarks (P).

    ``centers`` and ``points`` are flat cells ``(b * H + y) * W + x``; ``category`` counts from 0.
    ``hps`` and its mask are (N, K, 2) and (N, K).
    """

    hm: Float[Tensor, "b 13 h w"]
    hm_hp: Float[Tensor, "b k h w"]
    centers: Int[Tensor, " n"]
    category: Int[Tensor, " n"]
    wh: Float[Tensor, "n 2"]
    reg: Float[Tensor, "n 2"]
    hps: Float[Tensor, "n k 2"]
    hps_mask: Bool[Tensor, "n k"]
    points: Int[Tensor, " p"]
    hp_offset: Float[Tensor, "p 2"]


def to_grid(pixels: Tensor) -> Tensor:
    """Input pixels to grid coordinates."""
    return (pixels + 0.5) / STRIDE


def from_grid(grid: Tensor) -> Tensor:
    """Grid coordinates to input pixels."""
    return grid * STRIDE - 0.5


def gaussian_radius(height: Tensor, width: Tensor, rule: Radius) -> Tensor:
    """Radius in cells within which a shifted box still overlaps by 0.7.

    ``published`` is CornerNet's formula as released and as all published numbers were trained with:
    each root divided by 2 instead of 2a, which makes it about 2.8 times the ``corrected`` one.
    """
    o, total, area = MIN_OVERLAP, height + width, height * width
    # a r^2 + b r + c = 0 for one corner inside, both inside, both outside
    cases = (
        (1.0, total, area * (1 - o) / (1 + o), 1.0),
        (4.0, 2 * total, (1 - o) * area, 1.0),
        (4.0 * o, -2 * o * total, (o - 1) * area, 1.0),
    )
    roots = []
    for i, (a, b, c, sign) in enumerate(cases):
        root = (b**2 - 4 * a * c).clamp_min(0).sqrt()
        if rule == "published":
            roots.append((b + sign * root) / 2)
        else:
            roots.append((b - root if i < 2 else b + root) / (2 * a))
    return torch.stack(roots).amin(0).floor().clamp_min(0)


def draw_gaussians(
    maps: Float[Tensor, "b c h w"],
    planes_N: Int[Tensor, " n"],
    channels_N: Int[Tensor, " n"],
    cells_N2: Int[Tensor, "n 2"],
    radii_N: Float[Tensor, " n"],
) -> None:
    """Draw N Gaussians into ``maps`` (channels last in memory) by element-wise maximum, in place.

    Args:
        maps: what to draw into.
        planes_N: image of each Gaussian.
        channels_N: its channel.
        cells_N2: its whole cell (x, y).
        radii_N: its radius r in cells; the window is 2r+1 wide and sigma (2r+1)/6.
    """
    if len(radii_N) == 0:
        return
    _, c, h, w = maps.shape
    flat = maps.permute(0, 2, 3, 1).reshape(-1)
    # Windows of like size are drawn together, all as wide as the widest: few cells are in vain.
    parts = radii_N.argsort().tensor_split(min(SIZES, len(radii_N)))
    for part, widest in zip(parts, torch.stack([radii_N[p[-1]] for p in parts]).tolist(), strict=True):
        step = torch.arange(-int(widest), int(widest) + 1, device=maps.device)
        radius = radii_N[part, None]
        fall = torch.exp(-(step**2) / (2 * ((2 * radius + 1) / 6) ** 2)) * (step.abs() <= radius)
        x, y = cells_N2[part, :1] + step, cells_N2[part, 1:] + step
        fall_x, fall_y = fall * ((x >= 0) & (x < w)), fall * ((y >= 0) & (y < h))
        rows = (planes_N[part, None] * h + y.clamp(0, h - 1)) * w
        cells = (rows[:, :, None] + x.clamp(0, w - 1)[:, None]) * c + channels_N[part, None, None]
        values = fall_y[:, :, None] * fall_x[:, None]
        flat.scatter_reduce_(0, cells.flatten(), values.flatten(), "amax")


def make_targets(
    boxes_BM4: Float[Tensor, "b m 4"],
    category_BM: Int[Tensor, "b m"],
    landmarks_BMK3: Float[Tensor, "b m k 3"],
    size: int,
    rule: Radius,
    center_reach: int = 0,
) -> Targets:
    """Targets of a batch.

    A garment without labelled landmarks still trains centre and size (the released code drops it).
    With ``center_reach`` r > 0 the (2r+1)^2 cells around a centre learn its category, size, offset and
    displacements too: a short schedule sees each garment a few times only.

    Args:
        boxes_BM4: x1, y1, x2, y2 in input pixels; clipped to the input here.
        category_BM: category ids 1..13; 0 pads.
        landmarks_BMK3: x, y in input pixels and visibility; 1 and 2 both train.
        size: side of the input, pixels.
        rule: how the Gaussians' radius is found.
        center_reach: cells around the centre that regress as it does; 0 as published.
    """
    side, groups, device = size // STRIDE, landmarks_BMK3.shape[2], boxes_BM4.device
    corners = to_grid(boxes_BM4).clamp(0, side)
    extent = corners[..., 2:] - corners[..., :2]
    kept = (category_BM > 0) & (extent > 0).all(-1)
    image, _ = kept.nonzero(as_tuple=True)
    corners, extent, category = corners[kept], extent[kept], category_BM[kept]
    center = (corners[:, :2] + corners[:, 2:]) / 2
    center_cell = center.floor().long().clamp(0, side - 1)
    radius = gaussian_radius(extent[:, 1].ceil(), extent[:, 0].ceil(), rule)

    grid = to_grid(landmarks_BMK3[kept][..., :2])
    inside = ((grid >= 0) & (grid < side)).all(-1)
    labelled = (landmarks_BMK3[kept][..., 2] > 0) & inside
    garment, group = labelled.nonzero(as_tuple=True)
    point = grid[labelled]
    point_cell = point.floor().long()

    def empty(channels: int) -> Tensor:
        return torch.zeros(len(boxes_BM4), side, side, channels, device=device).permute(0, 3, 1, 2)

    hm, hm_hp = empty(NUM_CATEGORIES), empty(groups)
    draw_gaussians(hm, image, category - 1, center_cell, radius)
    draw_gaussians(hm_hp, image[garment], group, point_cell, radius[garment])

    def flat(images: Tensor, cells: Tensor) -> Tensor:
        return (images * side + cells[:, 1]) * side + cells[:, 0]

    step = torch.arange(-center_reach, center_reach + 1, device=device)
    cells = center_cell[:, None] + torch.cartesian_prod(step, step).view(-1, 2)
    owner, which = ((cells >= 0) & (cells < side)).all(-1).nonzero(as_tuple=True)
    cell = cells[owner, which]
    return Targets(
        hm=hm,
        hm_hp=hm_hp,
        centers=flat(image[owner], cell),
        category=category[owner] - 1,
        wh=extent[owner],
        reg=center[owner] - cell,
        hps=grid[owner] - cell[:, None],
        hps_mask=labelled[owner],
        points=flat(image[garment], point_cell),
        hp_offset=point - point_cell,
    )
