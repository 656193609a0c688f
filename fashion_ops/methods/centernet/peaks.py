"""Heatmaps before anything is read from them: smoothing (DeepMark++ 3.2.2) and local maxima."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def smooth(heat: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """Technique 2: a 3x3 Gaussian (eq. 2), its weights adding up to 1, zeros around; 0 changes nothing.

    Args:
        heat: heatmaps after the sigmoid.
        sigma: standard deviation in cells.
    """
    if sigma == 0:
        return heat
    side = float(np.exp(-0.5 / sigma**2))
    line = heat.new_tensor([side, 1.0, side]) / (1 + 2 * side)
    channels = heat.shape[1]
    kernel = (line[:, None] * line)[None, None].expand(channels, 1, 3, 3)
    return F.conv2d(heat, kernel, padding=1, groups=channels)


def local_maxima(heat: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Keep cells that are the largest of their 3x3 surroundings, zero the rest."""
    wide = F.pad(heat, (1, 1, 1, 1))  # heat is never negative; ten times as fast as max_pool2d here
    wide = torch.maximum(torch.maximum(wide[..., :-2], wide[..., 1:-1]), wide[..., 2:])
    peak = torch.maximum(torch.maximum(wide[..., :-2, :], wide[..., 1:-1, :]), wide[..., 2:, :])
    return heat * (peak == heat)
