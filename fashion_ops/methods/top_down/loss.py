"""Heatmap loss, pseudo-label loss, and heatmaps as logits for the position constraint loss.

``parts.schedule`` has the weight of the pseudo-label loss.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

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
