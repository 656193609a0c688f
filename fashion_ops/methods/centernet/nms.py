"""Doubles of one garment in one image: hard and soft non-maximum suppression, within a category.

Across categories all stay, since tops lie over dresses and trousers under coats.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from fashion_ops.params import PostProcess

NMS_IOU = 0.6
SOFT_SIGMA = 0.5  # of the Gaussian penalty (Bodla et al., 2017, eq. 3)
SOFT_DROP = 0.001  # what falls below is gone


def suppress(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    category: Int[Tensor, " n"],
    how: PostProcess,
) -> tuple[Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """Which garments stay, best first, and their scores (soft suppression lowers them)."""
    if how.nms == "hard":
        kept = batched_nms(boxes, scores, category, NMS_IOU)
        return kept, scores[kept]
    if how.nms == "soft":
        return soft_nms(boxes, scores, category)
    order = scores.argsort(descending=True, stable=True)
    return order, scores[order]


def soft_nms(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], category: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """Gaussian soft-NMS: a garment's score falls by exp(-IoU^2 / 0.5) for every better one taken.

    The released code leaves stale copies of dropped rows behind; here a dropped row is gone.
    """
    fall = torch.exp(-(box_iou(boxes, boxes) ** 2) / SOFT_SIGMA)
    fall = torch.where(category[:, None] == category, fall, torch.ones_like(fall))
    left = scores.clone()
    kept, final = [], []
    for _ in range(len(scores)):
        best = int(left.argmax())
        if left[best] < SOFT_DROP:
            break
        kept.append(best)
        final.append(left[best].clone())
        left = left * fall[best]
        left[best] = -1.0
    if not kept:
        return torch.zeros(0, dtype=torch.int64, device=boxes.device), scores[:0]
    return torch.tensor(kept, device=boxes.device), torch.stack(final)
