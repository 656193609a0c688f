"""CenterNet's training targets, for a whole batch on its device (Zhou et al., 2019; released code).

``codec`` says what the maps mean. Gaussians are centred on whole cells; their radius follows from the
garment's box and is the same for its centre and its landmarks.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fashion_ops.methods.centernet.codec import (
    STRIDE,
    encode_boxes,
    encode_points,
    flat_cells,
    to_grid,
)
from fashion_ops.taxonomy import NUM_CATEGORIES

Radius = Literal["published", "corrected"]
MIN_OVERLAP = 0.7
WINDOW_SIZES = 8  # different sizes of Gaussian windows in one batch


@dataclass(frozen=True)
class Targets:
    """Heatmaps, and regression targets at the cells of N centres and P labelled landmarks.

    ``centers`` and ``points`` are flat cells ``(b * H + y) * W + x``; ``category`` counts from 0.
    ``hps_mask`` says which of a garment's landmarks are labelled. The other names are those of the
    network's heads.
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


def gaussian_radius(height: Tensor, width: Tensor, rule: Radius) -> Tensor:
    """Compute how far a box's corners may move, in cells, while its IoU with the box stays 0.7 or more.

    Args:
        height: of the boxes (n,), cells.
        width: of the boxes (n,), cells.
        rule: ``published`` is CornerNet's formula as released, with which all published numbers were
            trained. It divides each root by 2 instead of 2a and gives about 2.8 times the
            ``corrected`` radius.

    Returns:
        (n,) whole numbers as floats.
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
    images: Int[Tensor, " n"],
    channels: Int[Tensor, " n"],
    cells: Int[Tensor, "n 2"],
    radii: Float[Tensor, " n"],
) -> None:
    """Draw N Gaussians into ``maps`` in place; overlapping ones are merged by their maximum.

    Args:
        maps: must be channels last in memory.
        images: index of each Gaussian's image.
        channels: its channel.
        cells: its centre, a whole cell (x, y).
        radii: its radius r in cells; the window is 2r+1 wide and sigma is (2r+1)/6.
    """
    if len(radii) == 0:
        return
    _, c, h, w = maps.shape
    flat = maps.permute(0, 2, 3, 1).reshape(-1)
    # Windows of similar size are drawn together, all as wide as the widest, to waste few cells.
    parts = radii.argsort().tensor_split(min(WINDOW_SIZES, len(radii)))
    for part, widest in zip(parts, torch.stack([radii[p[-1]] for p in parts]).tolist(), strict=True):
        step = torch.arange(-int(widest), int(widest) + 1, device=maps.device)
        radius = radii[part, None]
        fall = torch.exp(-(step**2) / (2 * ((2 * radius + 1) / 6) ** 2)) * (step.abs() <= radius)
        x, y = cells[part, :1] + step, cells[part, 1:] + step
        fall_x, fall_y = fall * ((x >= 0) & (x < w)), fall * ((y >= 0) & (y < h))
        rows = (images[part, None] * h + y.clamp(0, h - 1)) * w
        indices = (rows[:, :, None] + x.clamp(0, w - 1)[:, None]) * c + channels[part, None, None]
        values = fall_y[:, :, None] * fall_x[:, None]
        flat.scatter_reduce_(0, indices.flatten(), values.flatten(), "amax")


def make_targets(
    boxes: Float[Tensor, "b m 4"],
    category: Int[Tensor, "b m"],
    landmarks: Float[Tensor, "b m k 3"],
    size: int,
    rule: Radius,
    center_reach: int = 0,
) -> Targets:
    """Encode the garments of a batch as the network's targets.

    A garment without labelled landmarks still trains centre and size (the released code drops it).
    With ``center_reach`` r > 0 the (2r+1)^2 cells around a centre learn its category, size, offset and
    displacements too, which helps short schedules that see each garment only a few times.

    Args:
        boxes: x1, y1, x2, y2 in input pixels; clipped to the input here.
        category: category ids 1..13; 0 pads.
        landmarks: x, y in input pixels and visibility; 1 and 2 both train.
        size: side of the input, pixels.
        rule: how the Gaussians' radius is computed, see ``gaussian_radius``.
        center_reach: cells around the centre that regress as the centre does; 0 as published.
    """
    side, groups, device = size // STRIDE, landmarks.shape[2], boxes.device
    corners = to_grid(boxes).clamp(0, side)
    extent = corners[..., 2:] - corners[..., :2]
    kept = (category > 0) & (extent > 0).all(-1)
    image, _ = kept.nonzero(as_tuple=True)
    corners, extent, kind = corners[kept], extent[kept], category[kept] - 1
    center_cell = ((corners[:, :2] + corners[:, 2:]) / 2).floor().long().clamp(0, side - 1)
    radius = gaussian_radius(extent[:, 1].ceil(), extent[:, 0].ceil(), rule)

    grid = to_grid(landmarks[kept][..., :2])
    inside = ((grid >= 0) & (grid < side)).all(-1)
    labelled = (landmarks[kept][..., 2] > 0) & inside
    garment, group = labelled.nonzero(as_tuple=True)
    point = grid[labelled]
    point_cell = point.floor().long()

    def empty(channels: int) -> Tensor:
        return torch.zeros(len(boxes), side, side, channels, device=device).permute(0, 3, 1, 2)

    hm, hm_hp = empty(NUM_CATEGORIES), empty(groups)
    draw_gaussians(hm, image, kind, center_cell, radius)
    draw_gaussians(hm_hp, image[garment], group, point_cell, radius[garment])

    step = torch.arange(-center_reach, center_reach + 1, device=device)
    cells = center_cell[:, None] + torch.cartesian_prod(step, step).view(-1, 2)
    owner, neighbour = ((cells >= 0) & (cells < side)).all(-1).nonzero(as_tuple=True)
    cell = cells[owner, neighbour]
    wh, reg = encode_boxes(corners[owner], cell)
    return Targets(
        hm=hm,
        hm_hp=hm_hp,
        centers=flat_cells(image[owner], cell, side),
        category=kind[owner],
        wh=wh,
        reg=reg,
        hps=encode_points(grid[owner], cell[:, None]),
        hps_mask=labelled[owner],
        points=flat_cells(image[garment], point_cell, side),
        hp_offset=encode_points(point, point_cell),
    )
