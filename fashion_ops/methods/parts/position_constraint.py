"""Position Constraint Loss: landmarks of one side keep their places relative to each other.

A regulariser of training (PCLoss, ``L_i = sum_j |(p_i - p_j) - (p*_i - p*_j)|^2``): with the errors
``e = p - p*`` it is ``sum_j |e_i - e_j|^2``, so a common shift costs nothing. It is summed inside the
left part and inside the right part and averaged over the k worst landmarks of each. The published
slides leave open how the parts combine (here: the mean over parts and garments), k and the weight; a
landmark on the mirror axis belongs to neither part.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.taxonomy.grouping import Grouping


def left_and_right(grouping: Grouping) -> Bool[Tensor, "2 k"]:
    """Which groups lie on the left and which on the right; those on the axis are in neither.

    Landmarks that are their own mirror image lie on the axis; of the others the name tells the side.
    """
    parts = np.zeros((2, grouping.num_groups), bool)
    for c in CATEGORIES:
        for i, (name, twin) in enumerate(zip(c.landmark_names, c.mirror(), strict=True)):
            if twin != i:
                parts[int(name.startswith("right_")), grouping.channels(c.id)[i]] = True
    return torch.from_numpy(parts)


def position_constraint_loss(
    predicted: Float[Tensor, "n k 2"],
    true: Float[Tensor, "n k 2"],
    mask: Bool[Tensor, "n k"],
    parts: Bool[Tensor, "p k"],
    worst: int,
) -> Float[Tensor, ""]:
    """The mean of the ``worst`` largest ``L_i`` of each part of each instance; linear in K.

    ``L_i`` is divided by the number of its labelled partners. A part with fewer than two labelled
    landmarks has none and doesn't count; one with fewer than ``worst`` averages over those it has.

    Args:
        predicted: landmarks of N instances, in any unit (the loss has its square).
        true: where they should be; anything where ``mask`` is False.
        mask: labelled landmarks.
        parts: which landmarks belong to each of P parts.
        worst: how many of the largest are averaged, k in the paper.

    Raises:
        ValueError: ``worst`` is less than 1.
    """
    if worst < 1:
        raise ValueError(f"position_constraint_k is {worst}, must be at least 1")
    used = mask[None] & parts[:, None]  # (P, N, K)
    count = used.sum(-1, keepdim=True)
    error = torch.where(used[..., None], (predicted - true)[None], 0)
    mean = error.sum(-2, keepdim=True) / count.clamp_min(1)[..., None]
    # From their mean, the errors of a part sum to 0: sum_j |e_i-e_j|^2 = n |e_i|^2 + sum_j |e_j|^2.
    squared = torch.where(used[..., None], error - mean, 0).square().sum(-1)
    each = (count * squared + squared.sum(-1, keepdim=True)) / (count - 1).clamp_min(1)
    counted = used & (count > 1)
    largest = each.masked_fill(~counted, -1).topk(min(worst, each.shape[-1]), dim=-1).values
    kept = largest >= 0
    means = (largest * kept).sum(-1) / kept.sum(-1).clamp_min(1)
    return means.sum() / kept.any(-1).sum().clamp_min(1)
