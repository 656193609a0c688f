"""The losses of the three heads and of pseudo-labels; outputs as the position constraint reads them.

``parts.schedule`` has the weight of the pseudo-label loss.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.parts.flow import RealNVP
from fashion_ops.methods.parts.heatmaps import Crop
from fashion_ops.methods.parts.position_constraint import SHARPNESS
from fashion_ops.methods.parts.precision import constants, full_precision
from fashion_ops.methods.top_down.heads import BINS

FLOOR = 1e-3  # of a heatmap of peak 1, before its logarithm


def heatmap_loss(
    predicted: Float[Tensor, "b k h w"],
    target: Float[Tensor, "b k h w"],
    weight: Float[Tensor, "b k"],
    kind: str,
) -> Float[Tensor, ""]:
    """Compute one of two losses, averaged over the labelled maps.

    ``mse``: half the squared error, summed over cells. Simple Baselines averages over all maps and
    cells. Averaged over the labelled maps only, the loss does not depend on how many groups a category
    uses.
    ``cross_entropy``: between the softmax of the map and the Gaussian normalised to sum 1, minus the
    entropy of the latter, so that a perfect map has loss 0.

    Args:
        predicted: the network's output.
        target: Gaussians of peak 1.
        weight: 1 for a labelled map, 0 for others.
        kind: ``mse`` or ``cross_entropy``.
    """
    if predicted.device.type == "cpu":
        labelled = weight > 0  # a garment has 8 to 39 of the 81 maps; the others are not computed
        per_map = _map_losses(predicted[labelled].float(), target[labelled], kind)
        return per_map.sum() / max(1, len(per_map))
    return _all_maps_loss(predicted, target, weight, kind)


def _all_maps_loss(predicted: Tensor, target: Tensor, weight: Tensor, kind: str) -> Tensor:
    """Compute ``heatmap_loss`` from all maps: a host waits for a GPU to know how many are labelled."""
    labelled = (weight > 0).flatten()
    per_map = _map_losses(predicted.flatten(0, 1).float(), target.flatten(0, 1), kind)
    return torch.where(labelled, per_map, 0.0).sum() / labelled.sum().clamp_min(1)


def _map_losses(predicted: Tensor, target: Tensor, kind: str) -> Tensor:
    """Compute the loss (M,) of each map (M, H, W)."""
    predicted, target = predicted.flatten(1), target.flatten(1)
    if kind == "mse":
        return 0.5 * ((predicted - target) ** 2).sum(1)
    density = target / target.sum(1, keepdim=True).clamp_min(1e-6)
    return (torch.xlogy(density, density) - density * predicted.log_softmax(1)).sum(1)


def as_logits(heat: Float[Tensor, "b k h w"], kind: str) -> Float[Tensor, "b k h w"]:
    """Convert a network's output to logits, whose softmax is the density of each landmark.

    Integral coordinates in training need them. An output trained with ``cross_entropy`` is returned as
    it is. One trained with ``mse`` is a density up to a factor: its logarithm is returned, after
    clamping it to at least ``FLOOR``.
    """
    return heat if kind == "cross_entropy" else heat.float().clamp_min(FLOOR).log()


def simcc_sigma(bins: int) -> float:
    """Standard deviation of SimCC's target Gaussians, in bins (RTMPose, section 3.3.2)."""
    return math.sqrt(bins / 16)


def simcc_bins(pixels: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Convert crop pixels, x or y, to SimCC's bins; a mirror takes bin c of n to n - 1 - c."""
    return (pixels + 0.5) * BINS - 0.5


def simcc_loss(
    predicted: Float[Tensor, "b k n"], landmarks: Float[Tensor, "b k 3"], crop: Crop
) -> Float[Tensor, ""]:
    """Compute the divergence of the target Gaussians from the predicted classes, of x and y together.

    The Kullback-Leibler divergence KL(target || softmax), averaged over the labelled landmarks; a
    perfect prediction has loss 0 (SimCC, section 3.2, with label smoothing by a Gaussian).

    Args:
        predicted: logits of the bins of x, then of those of y.
        landmarks: x, y in crop pixels, visibility.
        crop: (width, height) in pixels.
    """
    each = torch.zeros_like(landmarks[..., 0])
    parts = predicted.float().split([BINS * crop[0], BINS * crop[1]], -1)
    for axis, logits in enumerate(parts):
        n = logits.shape[-1]
        bins = torch.arange(n, device=logits.device, dtype=torch.float32)
        off = bins - simcc_bins(landmarks[..., axis])[..., None]
        target = (-(off**2) / (2 * simcc_sigma(n) ** 2)).softmax(-1)
        each = each + F.kl_div(logits.log_softmax(-1), target, reduction="none").sum(-1)
    return _labelled_mean(each, landmarks)


def rle_loss(
    predicted: Float[Tensor, "b k 4"], landmarks: Float[Tensor, "b k 3"], crop: Crop, flow: RealNVP
) -> Float[Tensor, ""]:
    """Compute the residual log-likelihood of the landmarks (Li et al., ICCV 2021, eq. 8), negative.

    As in the authors' code it is that of a Laplace distribution, ``Q`` in the paper, plus that of the
    flow's density ``G``, each of the error in units of the predicted standard deviation. The first
    alone fixes the unit: its best sigma is the standard deviation of a Laplace distribution, where
    their code has half of it (docs/decisions.md).

    Args:
        predicted: mean x, y and their standard deviations, shares of the crop.
        landmarks: x, y in crop pixels, visibility.
        crop: (width, height) in pixels.
        flow: the density of errors of standard deviation 1.
    """
    with full_precision():
        size = constants(tuple(map(float, crop)), landmarks)
        truth = (landmarks[..., :2] + 0.5) / size
        mean, std = predicted.float().split(2, -1)
        error = (truth - mean) / std
        laplace = (math.sqrt(2) * std).log() + math.sqrt(2) * error.abs()
        each = (laplace + std.log()).sum(-1)
        each = each - flow.log_prob(error.flatten(0, 1)).view_as(each)
    return _labelled_mean(each, landmarks)


def expected_shares(
    predicted: Float[Tensor, "b k n"], truth: Float[Tensor, "b k 2"], crop: Crop, head: str
) -> tuple[Float[Tensor, "b k 2"], Float[Tensor, "b k 2"]]:
    """Compute predicted and true landmarks as shares of the crop's longer side.

    They are in the unit that the position constraint of heatmaps has. Of a SimCC head they are the
    means of the densities, sharpened as those of heatmaps.

    Args:
        predicted: output of a SimCC or an RLE head.
        truth: x, y in crop pixels.
        crop: (width, height) in pixels.
        head: ``simcc | rle``.
    """
    size = constants(tuple(map(float, crop)), truth)
    if head == "rle":
        pixels = predicted[..., :2].float() * size - 0.5
    else:
        means = []
        for logits in (SHARPNESS * predicted.float()).split([BINS * crop[0], BINS * crop[1]], -1):
            bins = torch.arange(logits.shape[-1], device=logits.device, dtype=torch.float32)
            means.append(((logits.softmax(-1) * bins).sum(-1) + 0.5) / BINS - 0.5)
        pixels = torch.stack(means, -1)
    return pixels / max(crop), truth / max(crop)


def _labelled_mean(each: Float[Tensor, "b k"], landmarks: Float[Tensor, "b k 3"]) -> Float[Tensor, ""]:
    """Average the losses of the labelled landmarks; 0 if there is none."""
    labelled = landmarks[..., 2] > 0
    return torch.where(labelled, each, 0.0).sum() / labelled.sum().clamp_min(1)


def label_loss(
    logits: Float[Tensor, "b 13 k"], soft_label: Float[Tensor, "b k"], category_id: Int[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Compute the mean cross entropy between soft pseudo-labels and the logits of each category.

    Args:
        logits: of the K pseudo-labels of each category.
        soft_label: of each garment; sums to 1.
        category_id: 1..13, of each garment.
    """
    of_category = logits[torch.arange(len(logits), device=logits.device), category_id - 1]
    return F.cross_entropy(of_category.float(), soft_label)
