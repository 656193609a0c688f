"""Heatmap loss, pseudo-label loss and the schedule between them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


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


def label_loss(
    logits: Float[Tensor, "b 13 k"], soft_label: Float[Tensor, "b k"], category_id: Int[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Cross entropy between each garment's soft pseudo-label and its own category's logits."""
    own = logits[range(len(logits)), category_id - 1]
    return F.cross_entropy(own.float(), soft_label)


def label_weight(progress: float, alpha: float, decay: tuple[float, float]) -> float:
    """DFA's schedule (eq. 4), decaying: alpha until t1, then linearly down to 0 at t2.

    As printed the ramp rises between t1 and t2, after which the weight is 0; the text around it says
    that it lets go, so we let it fall (docs/decisions.md, "DFA eq. 4").

    Args:
        progress: share of the run that is done, 0..1.
        alpha: weight at the start.
        decay: (t1, t2) as shares of the run.
    """
    t1, t2 = decay
    return alpha * min(1.0, max(0.0, (t2 - progress) / max(t2 - t1, 1e-9)))
