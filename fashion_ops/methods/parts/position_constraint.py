"""Position Constraint Loss: landmarks of one side keep their places relative to each other.

A regulariser of training (PCLoss, ``L_i = sum_j |(p_i - p_j) - (p*_i - p*_j)|^2``): with the errors
``e = p - p*`` it is ``sum_j |e_i - e_j|^2``, so a common shift costs nothing. It is summed inside the
left part and inside the right part and averaged over the k worst landmarks of each. The published
slides leave open how the parts combine (here: the mean over parts and garments), k and the weight; a
landmark on the mirror axis belongs to neither part. Models that regress give their coordinates as they
are, heatmap models through integral coordinates (Sun et al., ECCV 2018): one ``Constraint`` for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fashion_ops.methods.parts.heatmaps import soft_argmax
from fashion_ops.taxonomy.grouping import Grouping

SIDES = ("left_", "right_")


def sides(names: Sequence[str], mirror: Sequence[int] | np.ndarray) -> Bool[Tensor, "2 k"]:
    """Which of K named landmarks lie on the left and which on the right.

    Landmarks that are their own mirror image lie on the axis, in neither part; of the others the name
    tells the side.

    Args:
        names: such as ``left_collar``.
        mirror: permutation under a horizontal flip.
    """
    paired = [twin != i for i, twin in enumerate(mirror)]
    right = [name.startswith("right_") for name in names]
    strangers = [n for n, p in zip(names, paired, strict=True) if p and not n.startswith(SIDES)]
    if strangers:
        raise ValueError(f"landmarks {strangers} have a mirror image; expected names in {SIDES}")
    return torch.tensor([paired, paired]) & torch.tensor([[not r for r in right], right])


def left_and_right(grouping: Grouping) -> Bool[Tensor, "2 k"]:
    """``sides`` of a grouping's channels."""
    parts = torch.zeros(2, grouping.num_groups, dtype=torch.bool)
    for c in grouping.categories:
        parts[:, torch.from_numpy(grouping.channels(c.id))] |= sides(c.landmark_names, c.mirror())
    return parts


def undivided(landmarks: int) -> Bool[Tensor, "1 k"]:
    """One part of all K landmarks: the loss before the slides' skeleton-like optimisation."""
    return torch.ones(1, landmarks, dtype=torch.bool)


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


@dataclass(frozen=True)
class Constraint:
    """PCLoss as a training uses it.

    ``weight``: of the loss in the total; nothing here multiplies by it. ``parts``: which landmarks
    belong to each of P parts (``sides``, ``left_and_right`` or ``undivided``). ``worst``: how many of
    the largest are averaged.
    """

    weight: float
    parts: Bool[Tensor, "p k"]
    worst: int

    def of_points(
        self,
        predicted: Float[Tensor, "n k 2"],
        true: Float[Tensor, "n k 2"],
        mask: Bool[Tensor, "n k"],
    ) -> Float[Tensor, ""]:
        """Of a regression's coordinates, without the weight, in their unit squared."""
        predicted = predicted.to(torch.promote_types(predicted.dtype, torch.float32))  # from bf16
        parts = self.parts.to(predicted.device)
        return position_constraint_loss(predicted, true, mask, parts, self.worst)

    def of_heatmaps(
        self,
        logits: Float[Tensor, "n k h w"],
        true: Float[Tensor, "n k 2"],
        mask: Bool[Tensor, "n k"],
    ) -> Float[Tensor, ""]:
        """Of integral coordinates, without the weight, in longer sides of the map squared.

        So one weight fits maps of every size.

        Args:
            logits: their softmax is each landmark's density; maps with peaks near 1 (squared error)
                must be multiplied up first, or their softmax is flat.
            true: (x, y) in cells.
            mask: labelled landmarks.
        """
        side = max(logits.shape[-2:])
        return self.of_points(soft_argmax(logits) / side, true / side, mask)


def constraint_of(
    weight: float, worst: int, parts: Literal["sides", "whole"], mirror: np.ndarray
) -> Constraint | None:
    """What the parameters of a training on alignment data ask for; None where the weight is 0.

    Args:
        weight: of the loss.
        worst: how many of the largest are averaged.
        parts: left and right landmarks by themselves, or all of them together.
        mirror: permutation (K,) under a horizontal flip; the first of every pair lies on one side, as
            in all point sets of ``taxonomy.alignment``.
    """
    if not weight:
        return None
    if parts == "whole":
        return Constraint(weight, undivided(len(mirror)), worst)
    pairs = np.flatnonzero(mirror > np.arange(len(mirror)))
    sides_2K = torch.zeros(2, len(mirror), dtype=torch.bool)
    sides_2K[0, pairs], sides_2K[1, mirror[pairs]] = True, True
    return Constraint(weight, sides_2K, worst)
