"""Target heatmaps of GLE; their loss is ``top_down.loss``."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def cone_targets(
    points: Float[Tensor, "b k 2"], size: tuple[int, int], radius: float
) -> Float[Tensor, "b k h w"]:
    """Draw ``exp(-d / (2 radius))`` around each landmark, where d is the distance (not its square).

    The paper only says "probability". Its published numbers were trained with this target (radius 8 at
    224 pixels): a peak of 1 that falls to a half at a distance of 1.39 radii.

    Args:
        points: x, y in pixels of the heatmap.
        size: (width, height) of the heatmap.
        radius: pixels.
    """
    xs = torch.arange(size[0], device=points.device, dtype=points.dtype)
    ys = torch.arange(size[1], device=points.device, dtype=points.dtype)
    dx = (xs - points[..., :1])[..., None, :]
    dy = (ys - points[..., 1:])[..., :, None]
    return torch.exp(-torch.hypot(dx, dy) / (2 * radius))


def peak_of_density(radius: float) -> float:
    """Compute the factor that scales a density shaped like ``cone_targets`` to a peak of 1.

    It is the volume below the cone; ``radius`` is in pixels.
    """
    return 8 * math.pi * radius**2
