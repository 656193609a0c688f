"""Losses of a stage and of HTC's semantic branch; torchvision has those of the RPN and of masks."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

SEMANTIC_WEIGHT = 0.2  # HTC, 4.2
IGNORED = 255  # label of a semantic map outside of the image


def stage_losses(
    logits: Float[Tensor, "n c"],
    deltas: Float[Tensor, "n 4"],
    labels: Int[Tensor, " n"],
    targets: Float[Tensor, "n 4"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Compute the cross-entropy of the categories and the smooth L1 loss of the positive boxes.

    Both are divided by the number of sampled boxes.

    Args:
        logits: background first.
        deltas: predicted, in the units of the stage.
        labels: 0 is background.
        targets: true deltas; ignored where the label is 0.
    """
    garments = labels > 0
    category = F.cross_entropy(logits, labels)
    box = F.smooth_l1_loss(deltas[garments], targets[garments], reduction="sum") / max(1, len(labels))
    return category, box


def semantic_loss(logits: Float[Tensor, "b c h w"], target: Int[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Compute the mean cross-entropy of the cells inside the images, times ``SEMANTIC_WEIGHT``.

    Args:
        logits: background first.
        target: category of each cell, 0 is background, ``IGNORED`` outside of the image.
    """
    total = F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="sum")
    return SEMANTIC_WEIGHT * total / torch.count_nonzero(target != IGNORED).clamp_min(1)
