"""Position Constraint Loss: penalise errors in the relative positions of landmarks of one side.

A regulariser of training (PCLoss, ``L_i = sum_j |(p_i - p_j) - (p*_i - p*_j)|^2``): with the errors
``e = p - p*`` it is ``sum_j |e_i - e_j|^2``, so that a common shift costs nothing. It is summed within
the left part and within the right part and averaged over the k worst landmarks of each. The published
slides do not say how the parts are combined (here: the mean over parts and garments), nor k and the
weight. A landmark on the mirror axis belongs to neither part. Regression models pass their coordinates,
heatmap models integral coordinates (Sun et al., ECCV 2018), to the same ``Constraint``.
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
# Power to which a map's density is raised before its mean is taken. The mean of one trained to a broad
# target, such as GLE's cone or a Gaussian over a background that is nowhere 0, lies nearer to the map's
# centre than the landmark does: without this, the loss of a perfect network is not 0.
SHARPNESS = 4.0


def sides(names: Sequence[str], mirror: Sequence[int] | np.ndarray) -> Bool[Tensor, "2 k"]:
    """Find which of K landmarks lie on the left (first row) and which on the right (second row).

    Landmarks that are their own mirror image lie on the axis, in neither part. The names of the others
    say their side.

    Args:
        names: of the landmarks, such as ``left_collar``.
        mirror: permutation (K,) of the landmarks under a horizontal flip.

    Raises:
        ValueError: the name of a landmark with a mirror image does not say its side.
    """
    paired = [partner != i for i, partner in enumerate(mirror)]
    right = [name.startswith("right_") for name in names]
    unknown = [n for n, p in zip(names, paired, strict=True) if p and not n.startswith(SIDES)]
    if unknown:
        raise ValueError(f"landmarks {unknown} have a mirror image; expected names in {SIDES}")
    return torch.tensor([paired, paired]) & torch.tensor([[not r for r in right], right])


def left_and_right(grouping: Grouping) -> Bool[Tensor, "2 k"]:
    """Find which channels of a grouping hold left landmarks (row 0) and which right ones (row 1)."""
    parts = torch.zeros(2, grouping.num_groups, dtype=torch.bool)
    for c in grouping.categories:
        parts[:, torch.from_numpy(grouping.channels(c.id))] |= sides(c.landmark_names, c.mirror())
    return parts


def undivided(landmarks: int) -> Bool[Tensor, "1 k"]:
    """Put all K landmarks into one part, as the slides do before they divide them into sides."""
    return torch.ones(1, landmarks, dtype=torch.bool)


def position_constraint_loss(
    predicted: Float[Tensor, "n k 2"],
    true: Float[Tensor, "n k 2"],
    mask: Bool[Tensor, "n k"],
    parts: Bool[Tensor, "p k"],
    worst: int,
) -> Float[Tensor, ""]:
    """Compute the mean of the ``worst`` largest ``L_i`` of each part of each instance.

    ``L_i`` (see the module) is divided by the number of its labelled partners. A part with fewer than
    two labelled landmarks does not count; one with fewer than ``worst`` averages over all it has. Time
    is linear in K.

    Args:
        predicted: landmarks of N instances, in any unit (the loss has its square).
        true: their labels; ignored where ``mask`` is False.
        mask: labelled landmarks.
        parts: which landmarks belong to each of P parts.
        worst: number of the largest values that are averaged, k in the paper.

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
    """Settings of the position constraint loss in a training.

    Attributes:
        weight: of the loss in the total; applied by the caller.
        parts: which landmarks belong to each of P parts: ``sides``, ``left_and_right``, ``undivided``.
        worst: number of the largest values that are averaged.
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
        """Compute the loss of coordinates from a regression, without the weight, in their unit squared.

        Arguments as of ``position_constraint_loss``.
        """
        predicted = predicted.to(torch.promote_types(predicted.dtype, torch.float32))  # from bf16
        parts = self.parts.to(predicted.device)
        return position_constraint_loss(predicted, true, mask, parts, self.worst)

    def of_heatmaps(
        self,
        logits: Float[Tensor, "n k h w"],
        true: Float[Tensor, "n k 2"],
        mask: Bool[Tensor, "n k"],
    ) -> Float[Tensor, ""]:
        """Compute the loss of the integral coordinates of heatmaps, without the weight.

        The unit is the square of the map's longer side, so that one weight fits maps of every size. The
        densities are sharpened first, see ``SHARPNESS``.

        Args:
            logits: their softmax is the density of each landmark: of maps trained with squared error,
                the logarithm.
            true: (x, y) in cells.
            mask: labelled landmarks.
        """
        side = max(logits.shape[-2:])
        return self.of_points(soft_argmax(SHARPNESS * logits) / side, true / side, mask)


def constraint_of(
    weight: float, worst: int, parts: Literal["sides", "whole"], mirror: np.ndarray
) -> Constraint | None:
    """Make the constraint of a training on alignment data; None if the weight is 0.

    Args:
        weight: of the loss.
        worst: number of the largest values that are averaged.
        parts: ``sides`` takes left and right landmarks separately, ``whole`` all of them together.
        mirror: permutation (K,) under a horizontal flip; the first of every pair lies on one side, as
            in all point sets of ``taxonomy.alignment``.
    """
    if not weight:
        return None
    if parts == "whole":
        return Constraint(weight, undivided(len(mirror)), worst)
    pairs = np.flatnonzero(mirror > np.arange(len(mirror)))
    both = torch.zeros(2, len(mirror), dtype=torch.bool)
    both[0, pairs], both[1, mirror[pairs]] = True, True
    return Constraint(weight, both, worst)
