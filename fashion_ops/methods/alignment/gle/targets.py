"""GLE's target heatmaps; their loss is the landmarker's (``top_down.loss``)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def cone_targets(
    points_BK2: Float[Tensor, "b k 2"], size: tuple[int, int], radius: float
) -> Float[Tensor, "b k h w"]:
    """``exp(-d / (2 radius))`` around each landmark, d the distance and not its square.

    The paper only says "probability"; this is what its published numbers were trained with (radius 8
    at 224 pixels): a peak of 1 and half of it at a distance of 1.39 radii.

    Args:
        points_BK2: (x, y) in pixels of the map.
        size: (width, height) of the map.
        radius: pixels.
    """
    xs = torch.arange(size[0], device=points_BK2.device, dtype=points_BK2.dtype)
    ys = torch.arange(size[1], device=points_BK2.device, dtype=points_BK2.dtype)
    dx = (xs - points_BK2[..., :1])[..., None, :]
    dy = (ys - points_BK2[..., 1:])[..., :, None]
    return torch.exp(-torch.hypot(dx, dy) / (2 * radius))


def peak_of_density(radius: float) -> float:
    """What a density of this shape must be multiplied by for a peak of 1: the cone's volume."""
    return 8 * math.pi * radius**2
