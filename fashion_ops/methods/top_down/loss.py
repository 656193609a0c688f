"""Heatmap loss, pseudo-label loss and the schedule between them."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def heatmap_loss(
    predicted: Float[Tensor, "b k h w"], target: Float[Tensor, "b k h w"], weight: Float[Tensor, "b k"]
) -> Float[Tensor, ""]:
    """Mean squared error over the labelled maps, times half the number of cells of a map.

    Simple Baselines averages over all maps and cells; we average over the labelled maps only, so that
    the size of the loss does not depend on how many of the groups a category uses, and sum the
    cells, so that it does not depend on the resolution.
    """
    per_map = ((predicted.float() - target) ** 2).sum((2, 3))
    return 0.5 * (per_map * weight).sum() / weight.sum().clamp_min(1)


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
