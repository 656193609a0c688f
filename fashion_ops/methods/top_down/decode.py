"""Heatmaps to landmarks in crop pixels, with the flip test."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.heatmaps import decode_peaks
from fashion_ops.methods.top_down.cells import Crop, cell_kind, to_pixels

QUARTER = 0.25  # cells
BACKGROUND = 0.1  # of a map's peak; the expectation is taken over what rises above


@dataclass(frozen=True)
class Reading:
    """How landmarks are read from a model's maps; ``model.json`` holds it under the same names.

    ``decode``: ``argmax | dark | udp | integral``. ``flip_test``: average with the mirrored crop.
    ``flip_shift``: HRNet's cells and shift, see ``cells``. ``channel_mask``: maps of other categories
    are 0.
    """

    decode: str = "dark"
    flip_test: bool = True
    flip_shift: bool = False
    channel_mask: bool = False

    @classmethod
    def of(cls, spec: dict[str, Any]) -> "Reading":
        """Of a ``model.json`` or of ``TrainLandmarker``'s values; what is missing has its default."""
        return cls(**{name: spec[name] for name in cls.__dataclass_fields__ if name in spec})

    @property
    def cells(self) -> str:
        """Where the cells lie, in training as at test."""
        return cell_kind(self.decode, self.flip_shift)


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
    model: nn.Module,
    crops: Float[Tensor, "b 3 h w"],
    mirror: Tensor | None,
    loss: str,
    sigma: float,
    *,
    shift: bool = False,
) -> Float[Tensor, "b k h4 w4"]:
    """Heatmaps, averaged with those of the mirrored crop when ``mirror`` is given.

    ``shift``: the mirrored maps go one cell to the right first, as cells at ``corners`` need it.
    """
    heat = activate(model(crops), loss, sigma)
    if mirror is None:
        return heat
    flipped = activate(model(crops.flip(-1)), loss, sigma).flip(-1)[:, mirror]
    if shift:
        flipped = torch.cat([flipped[..., :1], flipped[..., :-1]], -1)
    return (heat + flipped) / 2


def decode(heat: Float[Tensor, "b k h w"], crop: Crop, reading: Reading) -> Float[Tensor, "b k 3"]:
    """x, y in crop pixels and the score (height of the peak, 0..1)."""
    if reading.decode == "argmax":
        cells = argmax_and_quarter(heat)
    elif reading.decode == "integral":
        cells = expectation(heat)
    else:
        cells = decode_peaks(heat)
    return torch.cat([to_pixels(cells[..., :2], crop, reading.cells), cells[..., 2:].clamp(0, 1)], -1)


def argmax_and_quarter(heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 3"]:
    """x, y in cells and the peak: the highest cell and a quarter towards its higher neighbour.

    As HRNet does it; a peak on the border stays where it is along that axis.
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
    """Integral coordinates (Sun et al., ECCV 2018) in cells, and the peak.

    The mean over what rises above a tenth of the peak: a squared-error map is nowhere quite 0, and
    its thousands of cells of background would pull the mean to the middle.
    """
    h, w = heat.shape[2:]
    score = heat.amax((2, 3))
    mass = (heat - BACKGROUND * score[..., None, None]).clamp_min(0)
    total = mass.sum((2, 3)).clamp_min(1e-12)
    xs, ys = (torch.arange(n, device=heat.device, dtype=heat.dtype) for n in (w, h))
    x, y = (mass.sum(2) * xs).sum(-1) / total, (mass.sum(3) * ys).sum(-1) / total
    return torch.stack([x, y, score], -1)
