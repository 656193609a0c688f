"""Heatmaps to landmarks in crop pixels, with the flip test."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.heatmaps import decode_peaks, to_pixels
from fashion_ops.methods.top_down.model import STRIDE


def predict_heatmaps(
    model: nn.Module, crops: Float[Tensor, "b 3 h w"], mirror: Tensor | None
) -> Float[Tensor, "b k h4 w4"]:
    """Heatmaps, averaged with those of the mirrored crop when ``mirror`` is given.

    No shift between the two: our cells are centred, so a flip maps cells onto cells.
    """
    heat = model(crops)
    if mirror is None:
        return heat.float()
    flipped = model(crops.flip(-1)).flip(-1)[:, mirror]
    return (heat.float() + flipped.float()) / 2


def decode(heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 3"]:
    """x, y in crop pixels and the score (height of the peak, 0..1)."""
    cells = decode_peaks(heat)
    return torch.cat([to_pixels(cells[..., :2], STRIDE), cells[..., 2:].clamp(0, 1)], -1)
