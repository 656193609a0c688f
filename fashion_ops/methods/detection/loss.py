"""Losses of a cascade's stage and of HTC's semantic branch; RPN's and the masks' are torchvision's."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

SEMANTIC_WEIGHT = 0.2  # HTC, 4.2
IGNORED = 255  # of a semantic map: outside of the image


def stage_losses(
    logits: Float[Tensor, "n c"],
    deltas: Float[Tensor, "n 4"],
    labels: Int[Tensor, " n"],
    targets: Float[Tensor, "n 4"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropy of the categories, smooth L1 of the garments' boxes; both per sampled box.

    Args:
        logits: background first.
        deltas: what was regressed, in the stage's own units.
        labels: 0 is background.
        targets: what should have been; anything where the label is 0.
    """
    garments = labels > 0
    category = F.cross_entropy(logits, labels)
    box = F.smooth_l1_loss(deltas[garments], targets[garments], reduction="sum") / max(1, len(labels))
    return category, box


def semantic_loss(logits: Float[Tensor, "b c h w"], target: Int[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Cross-entropy per cell inside the images, weighted as in HTC."""
    total = F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="sum")
    return SEMANTIC_WEIGHT * total / torch.count_nonzero(target != IGNORED).clamp_min(1)
