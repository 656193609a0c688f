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
from fashion_ops.methods.parts.precision import constants
from fashion_ops.methods.top_down.heads import BINS
from fashion_ops.methods.top_down.loss import simcc_sigma

MIN_PEAK = 0.2  # a lower peak does not count in ``pose_score`` (Aggregation & Finetuning)


@dataclass(frozen=True)
class DecodeConfig:
    """How landmarks are decoded from a model's output; ``model.json`` has the same names.

    ``decode``, ``flip_shift`` and ``smoothing`` are of the head ``heatmap`` only.

    Attributes:
        decode: ``argmax | dark | udp | integral``.
        flip_test: average the output with that of the mirrored crop.
        flip_shift: HRNet's cells and its shift in the flip test, see ``parts.heatmaps``.
        channel_mask: set the maps of other categories to 0.
        smoothing: standard deviation, cells, of the Gaussian that smooths the maps before ``dark`` or
            ``udp`` (DARK, eq. 9); 0 does not, as in models from before it existed.
        decode_prior: correct the landmarks of a pipeline by the model's shape priors; models from
            before it existed have none.
        head: ``heatmap | simcc | rle``; models from before it existed have heatmaps.
    """

    decode: str = "dark"
    flip_test: bool = True
    flip_shift: bool = False
    channel_mask: bool = False
    smoothing: float = 0.0
    decode_prior: bool = False
    head: str = "heatmap"

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
    flipped = activate(model(crops.flip(-1)), loss, sigma).flip(-1)[:, mirror]
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


def predict_classes(
    model: nn.Module, crops: Float[Tensor, "b 3 h w"], mirror: Int[Tensor, " k"] | None
) -> Float[Tensor, "b k n"]:
    """Predict the densities of a SimCC head over the bins of x, then those of y.

    Args:
        model: network from crops to the logits of 2 W bins of x and 2 H bins of y.
        crops: as ``normalize`` returns them.
        mirror: permutation of the landmarks under a flip; the densities are averaged with those of the
            mirrored crops, whose bins of x stand in reverse order. None: no flip test.
    """
    sides = [BINS * crops.shape[-1], BINS * crops.shape[-2]]
    x, y = (logits.softmax(-1) for logits in model(crops).float().split(sides, -1))
    if mirror is not None:
        of_mirrored = model(crops.flip(-1)).float()[:, mirror].split(sides, -1)
        mirrored_x, mirrored_y = (logits.softmax(-1) for logits in of_mirrored)
        x, y = (x + mirrored_x.flip(-1)) / 2, (y + mirrored_y) / 2
    return torch.cat([x, y], -1)


def decode_classes(density: Float[Tensor, "b k n"], crop: Crop) -> Float[Tensor, "b k 4"]:
    """Decode the densities of a SimCC head to x, y in crop pixels, score and standard deviation.

    The position is the middle of the likeliest bin. The score, 0..1, is the smaller of the two peaks,
    as in mmpose, where a perfect density has 1. The standard deviation is that of the distance, crop
    pixels: the root of the sum of the variances that the two densities have beyond those of their
    targets, so that a perfect density has 0.
    """
    found, peaks = [], []
    variance = torch.zeros_like(density[..., 0])
    for part in density.split([BINS * crop[0], BINS * crop[1]], -1):
        peak, index = part.max(-1)
        found.append((index.float() + 0.5) / BINS - 0.5)
        sigma = simcc_sigma(part.shape[-1])
        peaks.append(peak * (math.sqrt(2 * math.pi) * sigma))
        bins = torch.arange(part.shape[-1], device=part.device, dtype=part.dtype)
        mean = (part * bins).sum(-1, keepdim=True)
        beyond = (part * (bins - mean) ** 2).sum(-1) - sigma**2
        variance = variance + beyond.clamp_min(0) / BINS**2
    return torch.stack([*found, torch.minimum(*peaks).clamp(0, 1), variance.sqrt()], -1)


def predict_normals(
    model: nn.Module, crops: Float[Tensor, "b 3 h w"], mirror: Int[Tensor, " k"] | None
) -> Float[Tensor, "b k 4"]:
    """Predict mean x, mean y and their standard deviations by an RLE head, as shares of the crop.

    Args:
        model: network from crops to these four.
        crops: as ``normalize`` returns them.
        mirror: permutation of the landmarks under a flip; all four are averaged with those of the
            mirrored crops, mean x from the other side. None: no flip test.
    """
    out = model(crops).float()
    if mirror is None:
        return out
    mirrored = model(crops.flip(-1)).float()[:, mirror]
    mirrored = torch.cat([1 - mirrored[..., :1], mirrored[..., 1:]], -1)
    return (out + mirrored) / 2


def decode_normals(normals: Float[Tensor, "b k 4"], crop: Crop) -> Float[Tensor, "b k 4"]:
    """Decode the output of an RLE head to x, y in crop pixels, score and standard deviation.

    The score is 1 less the mean of the two standard deviations in shares of the crop, as published. The
    standard deviation is that of the distance, the root of the sum of the two squares, crop pixels.
    """
    size = constants(tuple(map(float, crop)), normals)
    pixels = normals[..., :2] * size - 0.5
    score = (1 - normals[..., 2:].mean(-1, keepdim=True)).clamp(0, 1)
    distance = (normals[..., 2:] * size).square().sum(-1, keepdim=True).sqrt()
    return torch.cat([pixels, score, distance], -1)


def pose_score(pose: np.ndarray) -> float:
    """Compute the confidence of a pose: the mean of its peaks above ``MIN_PEAK``, 0 if there is none.

    Args:
        pose: (K, 3) x, y and height of the peak, of a category's landmarks or, as the winner of the
            challenge does it, of all channels.
    """
    peaks = pose[:, 2][pose[:, 2] > MIN_PEAK]
    return float(peaks.mean()) if len(peaks) else 0.0
