"""Heatmap targets of a batch, made on its device."""

from jaxtyping import Float
from torch import Tensor

from fashion_ops.methods.parts.heatmaps import render_gaussians
from fashion_ops.methods.top_down.cells import map_size, to_cells


def heatmap_targets(
    landmarks_BK3: Float[Tensor, "b k 3"], crop: tuple[int, int], sigma: float, cells: str = "centers"
) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b k"]]:
    """Gaussians of peak 1 and the weight of each map: 1 if labelled (visible or occluded), else 0.

    Args:
        landmarks_BK3: x, y in crop pixels, visibility.
        crop: (width, height) in pixels.
        sigma: in heatmap cells.
        cells: where they lie, see ``cells``.
    """
    maps = render_gaussians(to_cells(landmarks_BK3[..., :2], crop, cells), map_size(crop), sigma)
    weight = (landmarks_BK3[..., 2] > 0).to(maps.dtype)
    return maps, weight
