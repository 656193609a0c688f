"""Heatmaps to landmarks in crop pixels, with the flip test."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.heatmaps import decode_peaks, to_pixels
from fashion_ops.methods.top_down.model import STRIDE


def activate(output: Float[Tensor, "b k h w"], loss: str, sigma: float) -> Float[Tensor, "b k h w"]:
    """The network's output as heatmaps with peaks near 1 where it is sure.

    Trained with ``mse`` the output is the heatmap. Trained with ``cross_entropy`` its softmax is a
    density, which a Gaussian of this sigma (cells) turns into a peak of 1 / (2 pi sigma^2).
    """
    output = output.float()
    if loss == "mse":
        return output
    return output.flatten(2).softmax(2).view_as(output) * (2 * math.pi * sigma**2)


def predict_heatmaps(
    model: nn.Module, crops: Float[Tensor, "b 3 h w"], mirror: Tensor | None, loss: str, sigma: float
) -> Float[Tensor, "b k h4 w4"]:
    """Heatmaps, averaged with those of the mirrored crop when ``mirror`` is given.

    No shift between the two: our cells are centred, so a flip maps cells onto cells.
    """
    heat = activate(model(crops), loss, sigma)
    if mirror is None:
        return heat
    flipped = activate(model(crops.flip(-1)), loss, sigma).flip(-1)[:, mirror]
    return (heat + flipped) / 2


def decode(heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 3"]:
    """x, y in crop pixels and the score (height of the peak, 0..1)."""
    cells = decode_peaks(heat)
    return torch.cat([to_pixels(cells[..., :2], STRIDE), cells[..., 2:].clamp(0, 1)], -1)
