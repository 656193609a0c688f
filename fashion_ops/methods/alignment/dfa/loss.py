"""The losses of a stage (eq. 3).

Positions and pseudo-labels: half the squared Euclidean distance, averaged over the batch, as Caffe's
Euclidean loss. Visibility: cross entropy, averaged over the landmarks that the garment's type has. A
landmark that is cut off gives no position loss, an occluded one does. In stages 2 and 3 the loss of
positions stands on what the network predicts, five times the offset (``model``).
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def position_loss(
    predicted: Float[Tensor, "b n 2"], true: Float[Tensor, "b n 2"], observed: Bool[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Compute half the squared distance over the observed landmarks, as a mean over garments.

    Positions are normalised.
    """
    squared = (predicted - true).square().sum(-1)
    return 0.5 * (squared * observed).sum() / max(1, len(predicted))


def states(visibility: Float[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Turn COCO's visibility into states: 0 visible, 1 occluded, 2 inexistent (below 1)."""
    return 2 - visibility.clamp_min(0).long()


def visibility_loss(
    logits: Float[Tensor, "b n 3"], state: Int[Tensor, "b n"], slots: Bool[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Compute the cross entropy of the visibility states, as a mean over the landmarks in ``slots``.

    Args:
        logits: of visible, occluded and inexistent.
        state: the true state: 0 visible, 1 occluded, 2 inexistent.
        slots: landmarks that the garment's type has.
    """
    losses = F.cross_entropy(logits.flatten(0, 1), state.flatten(), reduction="none").view(state.shape)
    return (losses * slots).sum() / slots.sum().clamp_min(1)


def label_loss(logits: Float[Tensor, "b k"], soft: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Compute half the squared distance between predicted and true labels, as a mean over garments.

    Args:
        logits: their softmax is the predicted label.
        soft: the true label; sums to 1.
    """
    return 0.5 * (logits.softmax(-1) - soft).square().sum(-1).mean()
