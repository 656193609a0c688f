"""Heatmaps: Gaussians around landmarks, and landmarks back out of them.

Shapes: B batch, K channels, H rows, W columns. Heatmap coordinates are cells; the cell (0, 0) is
centred on (0, 0), so with stride s the crop pixel x lies at (x + 0.5) / s - 0.5 cells.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def to_cells(pixels: Tensor, stride: int) -> Tensor:
    """Crop pixels to heatmap cells."""
    return (pixels + 0.5) / stride - 0.5


def to_pixels(cells: Tensor, stride: int) -> Tensor:
    """Heatmap cells to crop pixels."""
    return (cells + 0.5) * stride - 0.5


def render_gaussians(
    points_BK2: Float[Tensor, "b k 2"], size: tuple[int, int], sigma: float
) -> Float[Tensor, "b k h w"]:
    """Gaussians of peak 1 at sub-cell centres.

    Args:
        points_BK2: (x, y) in cells.
        size: (width, height) in cells.
        sigma: standard deviation in cells.
    """
    width, height = size
    xs = torch.arange(width, device=points_BK2.device, dtype=points_BK2.dtype)
    ys = torch.arange(height, device=points_BK2.device, dtype=points_BK2.dtype)
    gx = torch.exp(-((xs - points_BK2[..., :1]) ** 2) / (2 * sigma**2))
    gy = torch.exp(-((ys - points_BK2[..., 1:]) ** 2) / (2 * sigma**2))
    return gy[..., :, None] * gx[..., None, :]


def decode_peaks(heat_BKHW: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 3"]:
    """Landmarks (x, y in cells, score) by maximum and DARK's sub-cell step.

    The step is the Newton step of the log-heatmap's Taylor expansion at its maximum ("Distribution-
    Aware Coordinate Representation", CVPR 2020, eq. 4-8), bounded by one cell; the score is the
    maximum itself.
    """
    heat = heat_BKHW.float()
    b, k, h, w = heat.shape
    score, index = heat.flatten(2).max(-1)
    x, y = index % w, index // w
    log = F.pad(heat.clamp_min(1e-6).log().flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    padded = log.view(b, k, (h + 2) * (w + 2))

    def at(dx: int, dy: int) -> Tensor:
        return padded.gather(-1, ((y + 1 + dy) * (w + 2) + x + 1 + dx)[..., None])[..., 0]

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


def soft_argmax(logits_BKHW: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 2"]:
    """Expected (x, y) in cells under the softmax of each map (Sun et al., ECCV 2018, eq. 3)."""
    b, k, h, w = logits_BKHW.shape
    p = logits_BKHW.to(torch.promote_types(logits_BKHW.dtype, torch.float32))  # from bf16
    p = p.flatten(2).softmax(-1).view(b, k, h, w)
    xs = torch.arange(w, device=p.device, dtype=p.dtype)
    ys = torch.arange(h, device=p.device, dtype=p.dtype)
    return torch.stack([(p.sum(2) * xs).sum(-1), (p.sum(3) * ys).sum(-1)], -1)
