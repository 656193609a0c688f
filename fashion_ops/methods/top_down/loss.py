"""Heatmap loss, what PCLoss reads, pseudo-label loss; ``parts.schedule`` has the weight of the last."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

FLOOR = 1e-3  # of a heatmap of peak 1, in PCLoss


def heatmap_loss(
    predicted: Float[Tensor, "b k h w"],
    target: Float[Tensor, "b k h w"],
    weight: Float[Tensor, "b k"],
    kind: str,
) -> Float[Tensor, ""]:
    """Mean over the labelled maps of one of two losses.

    ``mse``: half the squared error, summed over cells. Simple Baselines averages over all maps and
    cells; over the labelled maps only, the loss does not depend on how many groups a category uses.
    ``cross_entropy``: of the map's softmax against the Gaussian made to sum to 1, less the Gaussian's
    own entropy, so that a perfect map has loss 0.

    Args:
        predicted: the network's output.
        target: Gaussians of peak 1.
        weight: 1 for a labelled map, 0 for others.
        kind: ``mse`` or ``cross_entropy``.
    """
    labelled = weight > 0  # a garment uses 8 to 39 of the 81 maps: the others cost nothing this way
    predicted = predicted[labelled].float().flatten(1)
    target = target[labelled].flatten(1)
    if kind == "mse":
        per_map = 0.5 * ((predicted - target) ** 2).sum(1)
    else:
        goal = target / target.sum(1, keepdim=True).clamp_min(1e-6)
        per_map = (torch.xlogy(goal, goal) - goal * predicted.log_softmax(1)).sum(1)
    return per_map.sum() / max(1, len(per_map))


def as_logits(heat: Float[Tensor, "b k h w"], kind: str) -> Float[Tensor, "b k h w"]:
    """Maps whose softmax is each landmark's density, for integral coordinates in training.

    A squared-error map is a density but for its sum: its logarithm, from ``FLOOR`` up.
    """
    return heat if kind == "cross_entropy" else heat.float().clamp_min(FLOOR).log()


def label_loss(
    logits: Float[Tensor, "b 13 k"], soft_label: Float[Tensor, "b k"], category_id: Int[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Cross entropy between each garment's soft pseudo-label and its own category's logits."""
    own = logits[range(len(logits)), category_id - 1]
    return F.cross_entropy(own.float(), soft_label)
