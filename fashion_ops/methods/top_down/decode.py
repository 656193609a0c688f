"""From a landmarker's output to landmarks in crop pixels, with the flip test, and their confidence."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fashion_ops.methods.parts.heatmaps import (
    CellGrid,
    Crop,
    argmax_and_quarter,
    decode_peaks,
    expectation,
)

MIN_PEAK = 0.2  # a lower peak does not count in ``pose_score`` (Aggregation & Finetuning)


@dataclass(frozen=True)
class DecodeConfig:
    """How landmarks are decoded from a model's heatmaps; ``model.json`` has the same names.

    Attributes:
        decode: ``argmax | dark | udp | integral``.
        flip_test: average the heatmaps with those of the mirrored crop.
        flip_shift: HRNet's cells and its shift in the flip test, see ``parts.heatmaps``.
        channel_mask: set the maps of other categories to 0.
        smoothing: standard deviation, cells, of the Gaussian that smooths the maps before ``dark`` or
            ``udp`` (DARK, eq. 9); 0 does not, as in models from before it existed.
        decode_prior: correct the landmarks of a pipeline by the model's shape priors; models from
            before it existed have none.
    """

    decode: str = "dark"
    flip_test: bool = True
    flip_shift: bool = False
    channel_mask: bool = False
    smoothing: float = 0.0
    decode_prior: bool = False

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> "DecodeConfig":
        """Take the settings from a ``model.json`` or the values of a ``TrainLandmarker``.

        Other keys are ignored; a missing one has its default.
        """
        return cls(**{name: spec[name] for name in cls.__dataclass_fields__ if name in spec})

    @property
    def cells(self) -> str:
        """The convention of the cells (``centers | ends | corners``), in training and prediction."""
        if self.decode == "udp":
            return "ends"
        return "corners" if self.flip_shift else "centers"


def activate(output: Float[Tensor, "b k h w"], loss: str, sigma: float) -> Float[Tensor, "b k h w"]:
    """Convert a network's output to heatmaps, with peaks near 1 where the network is confident.

    With ``loss`` ``mse`` the output is the heatmap. With ``cross_entropy`` its softmax is a density;
    that of a Gaussian with ``sigma`` (cells) has a peak of 1 / (2 pi sigma^2) and is scaled to 1.
    """
    output = output.float()
    if loss == "mse":
        return output
    return output.flatten(2).softmax(2).view_as(output) * (2 * math.pi * sigma**2)


def predict_heatmaps(
    model: nn.Module,
    crops: Float[Tensor, "b 3 h w"],
    mirror: Int[Tensor, " k"] | None,
    loss: str,
    sigma: float,
    *,
    shift: bool = False,
) -> Float[Tensor, "b k h4 w4"]:
    """Predict the heatmaps of crops, with or without the flip test.

    Args:
        model: network from crops to the output that ``activate`` takes.
        crops: as ``normalize`` returns them.
        mirror: permutation of the channels under a flip; the heatmaps are averaged with those of the
            mirrored crops. None: no flip test.
        loss: that the model was trained with, see ``activate``.
        sigma: of its Gaussians, cells.
        shift: move the mirrored heatmaps by one cell to the right, for cells at ``corners``.
    """
    heat = activate(model(crops), loss, sigma)
    if mirror is None:
        return heat
    return average_flipped(heat, activate(model(crops.flip(-1)), loss, sigma), mirror, shift=shift)


def average_flipped(
    heat: Float[Tensor, "b k h w"],
    mirrored: Float[Tensor, "b k h w"],
    mirror: Int[Tensor, " k"],
    *,
    shift: bool,
) -> Float[Tensor, "b k h w"]:
    """Average heatmaps with those of the mirrored crops; see ``predict_heatmaps``."""
    flipped = mirrored.flip(-1)[:, mirror]
    if shift:
        flipped = torch.cat([flipped[..., :1], flipped[..., :-1]], -1)
    return (heat + flipped) / 2


def decode(heat: Float[Tensor, "b k h w"], crop: Crop, config: DecodeConfig) -> Float[Tensor, "b k 3"]:
    """Decode each heatmap to x, y in crop pixels and a score, the height of its peak, 0..1.

    Args:
        heat: of ``predict_heatmaps``.
        crop: (width, height) of the crops, pixels.
        config: its ``decode`` says how the peak is located.
    """
    if config.decode == "argmax":
        cells = argmax_and_quarter(heat)
    elif config.decode == "integral":
        cells = expectation(heat)
    else:
        cells = decode_peaks(heat, config.smoothing)
    pixels = CellGrid(crop, config.cells).to_pixels(cells[..., :2])
    return torch.cat([pixels, cells[..., 2:].clamp(0, 1)], -1)


def pose_score(pose: np.ndarray) -> float:
    """Compute the confidence of a pose: the mean of its peaks above ``MIN_PEAK``, 0 if there is none.

    Args:
        pose: (K, 3) x, y and height of the peak, of a category's landmarks or, as the winner of the
            challenge does it, of all channels.
    """
    peaks = pose[:, 2][pose[:, 2] > MIN_PEAK]
    return float(peaks.mean()) if len(peaks) else 0.0
