"""Hard and soft non-maximum suppression (NMS) of garments in one image, within each category.

Garments of different categories never suppress each other: tops lie over dresses, coats over trousers.
``nms`` works on one set of scores; ``nms_many`` does the same for many sets of scores of the same
boxes, which a grid search needs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from fashion_ops.params import PostProcess

NMS_IOU = 0.6
SOFT_SIGMA = 0.5  # of the Gaussian penalty (Bodla et al., 2017, eq. 3)
SOFT_MIN_SCORE = 0.001  # soft NMS drops garments below this


def nms(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    category: Int[Tensor, " n"],
    post: PostProcess,
) -> tuple[Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """Suppress duplicates in one image as ``post.nms`` says (``none``, ``hard`` or ``soft``).

    Returns:
        Indices of the garments that remain, best first, and their scores, which soft NMS lowers.
    """
    if post.nms == "hard":
        kept = batched_nms(boxes, scores, category, NMS_IOU)
        return kept, scores[kept]
    if post.nms == "soft":
        return soft_nms(boxes, scores, category)
    order = scores.argsort(descending=True, stable=True)
    return order, scores[order]


def soft_nms(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], category: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """Apply Gaussian soft-NMS within each category.

    The best remaining garment is kept, and the scores of the others of its category are multiplied by
    exp(-IoU^2 / 0.5), until the best score is below 0.001. The released code differs: it leaves stale
    copies of the garments that it drops.

    Returns:
        Indices of the garments that remain, best first, and their lowered scores.
    """
    decay = torch.exp(-(box_iou(boxes, boxes) ** 2) / SOFT_SIGMA)
    decay = torch.where(category[:, None] == category, decay, torch.ones_like(decay))
    remaining = scores.clone()
    kept, final = [], []
    for _ in range(len(scores)):
        best = int(remaining.argmax())
        if remaining[best] < SOFT_MIN_SCORE:
            break
        kept.append(best)
        final.append(remaining[best].clone())
        remaining = remaining * decay[best]
        remaining[best] = -1.0
    if not kept:
        return torch.zeros(0, dtype=torch.int64, device=boxes.device), scores[:0]
    return torch.tensor(kept, device=boxes.device), torch.stack(final)


@dataclass(frozen=True)
class OverlapGroups:
    """G groups of at most D garments of one image and category that overlap.

    Attributes:
        rows: the garments of each group; -1 pads.
        decay: the factor on a garment's score (last axis) when another of its group (middle) is kept.
        min_score: garments whose score falls below it are suppressed.
    """

    rows: Int[np.ndarray, "g d"]
    decay: Float[np.ndarray, "g d d"]
    min_score: float


def group_overlapping(
    image: Int[np.ndarray, " u"],
    category: Int[np.ndarray, " u"],
    boxes: Float[np.ndarray, "u 4"],
    method: str,
) -> OverlapGroups:
    """Find the groups of garments that ``nms`` may change.

    Args:
        image: index of each garment's image.
        category: category id of each garment.
        boxes: in the pixels that ``nms`` gets.
        method: ``none``, ``hard`` or ``soft``.
    """
    key = image * 64 + category
    order = np.argsort(key, kind="stable")
    groups, decays = [], []
    for rows in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
        if method == "none" or len(rows) < 2:
            continue
        group = torch.from_numpy(boxes[rows])
        overlap = box_iou(group, group)
        hard = (overlap <= NMS_IOU).float()
        decay = hard if method == "hard" else torch.exp(-(overlap**2) / SOFT_SIGMA)
        if bool((decay.fill_diagonal_(1) < 1).any()):
            groups.append(rows)
            decays.append(decay.numpy())
    depth = max(map(len, groups), default=0)
    padded = np.full((len(groups), depth), -1)
    decay = np.ones((len(groups), depth, depth), np.float32)
    for n, (rows, values) in enumerate(zip(groups, decays, strict=True)):
        padded[n, : len(rows)] = rows
        decay[n, : len(rows), : len(rows)] = values
    min_score = SOFT_MIN_SCORE if method == "soft" else float(np.finfo(np.float32).tiny)
    return OverlapGroups(padded, decay, min_score)


def nms_many(scores: Float[np.ndarray, "v u"], groups: OverlapGroups) -> Float[np.ndarray, "v u"]:
    """Apply NMS to V sets of scores of the same U garments.

    Args:
        scores: one set a row; negative where a set lacks the garment.
        groups: of ``group_overlapping`` for these garments.

    Returns:
        Scores after NMS; -1 where a garment was missing or is suppressed.
    """
    rows, decay = groups.rows, groups.decay
    remaining = np.where(rows >= 0, scores[:, rows], np.float32(-1))  # (V, G, D)
    final = np.full_like(remaining, -1)
    group = np.arange(len(rows))
    for _ in range(rows.shape[1]):
        best = remaining.argmax(-1)[..., None]  # (V, G, 1)
        top = np.take_along_axis(remaining, best, -1)
        kept = top >= groups.min_score
        if not kept.any():
            break
        np.put_along_axis(final, best, np.where(kept, top, np.take_along_axis(final, best, -1)), -1)
        remaining *= decay[group, best[..., 0]]
        np.put_along_axis(remaining, best, np.float32(-1), -1)
    out = scores.copy()
    out[:, rows[rows >= 0]] = final[:, rows >= 0]
    out[out < groups.min_score] = -1
    return out
