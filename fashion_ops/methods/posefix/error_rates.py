"""How often a model makes each type of pose error, measured on labelled garments of one category.

Ronchi & Perona (ICCV 2017) measure these rates on models for people, and PoseFix synthesises errors at
their rates. A model for clothes errs at other rates, and a detector at others than a landmarker, so a
refiner may be trained at the rates of the model whose poses it will be given. ``errors`` describes the
types; here a predicted landmark has one of them by its keypoint similarity (KS):

- good: KS >= .85 to its own landmark; jitter: KS >= .5;
- inversion: not these, and KS >= .5 to the mirror landmark of the garment;
- swap: not these, and KS >= .5 to the same or the mirror landmark of the overlapping garment;
- miss: none of these.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.posefix.data import neighbours
from fashion_ops.methods.posefix.errors import (
    GOOD,
    INVERSION,
    JITTER,
    MISS,
    SWAP,
    landmark_groups,
    type_probabilities,
)
from fashion_ops.taxonomy import Category

UNKNOWN = -1  # the landmark is not labelled, or was not predicted
PRIOR = 10.0  # garments that the published rates count as, so that a rare type keeps a chance


def classify_errors(
    predicted: Float[Tensor, "b n 2"],
    truth: Float[Tensor, "b n 3"],
    neighbour: Float[Tensor, "b n 3"],
    area: Float[Tensor, " b"],
    sigmas: Float[Tensor, " n"],
    mirror: Int[Tensor, " n"],
) -> Int[Tensor, "b n"]:
    """Give each predicted landmark its type of error, ``GOOD`` to ``MISS``, or ``UNKNOWN``.

    Args:
        predicted: x, y in pixels; NaN where a landmark was not predicted.
        truth: x, y in the same pixels and visibility.
        neighbour: the same of the garment of the category that overlaps most, see ``neighbours``.
        area: of each garment's box, square pixels.
        sigmas: OKS sigmas.
        mirror: the landmark on the other side; one on the axis is its own mirror image.
    """

    def similarity(points: Tensor) -> Tensor:
        squared = ((predicted - points[..., :2]) ** 2).sum(-1)
        ks = torch.exp(-squared / (2 * area[:, None].clamp_min(1.0) * (2 * sigmas) ** 2))
        return ks * (points[..., 2] > 0)

    own, paired = similarity(truth), mirror != torch.arange(len(mirror), device=mirror.device)
    inverted = (similarity(truth[:, mirror]) >= 0.5) & paired
    other = torch.maximum(similarity(neighbour), similarity(neighbour[:, mirror]) * paired)
    types = torch.full(own.shape, MISS, device=own.device)
    types[other >= 0.5] = SWAP
    types[inverted] = INVERSION
    types[own >= 0.5] = JITTER
    types[own >= 0.85] = GOOD
    known = (truth[..., 2] > 0) & predicted.isfinite().all(-1)
    return types.where(known, torch.full_like(types, UNKNOWN))


def count_rates(
    types: Int[Tensor, "b n"], crowded: Float[Tensor, "b n"], published: Float[Tensor, "n 5"]
) -> Float[Tensor, "n 5"]:
    """Turn types of errors into the probability of each type, for each landmark.

    A swap is counted among garments that overlap another one only. Where there is none to swap with,
    ``synthesize_errors`` leaves the type out, and the others keep their measured ratio.

    Args:
        types: of ``classify_errors``.
        crowded: 1 where the neighbour has the landmark or its mirror landmark, else 0.
        published: probabilities that count as ``PRIOR`` garments more.
    """
    counts = torch.stack([(types == t).sum(0) for t in range(5)], 1).to(published)
    crowds = ((types != UNKNOWN) * crowded).sum(0)
    swap = (counts[:, SWAP] + PRIOR * published[:, SWAP]) / (crowds + PRIOR)
    rates = counts + PRIOR * published
    rates[:, SWAP] = 0
    rates = rates / rates.sum(1, keepdim=True) * (1 - swap[:, None])
    rates[:, SWAP] = swap
    return rates


def measure_rates(
    predicted: np.ndarray, garments: TrainingGarments, truth: np.ndarray, category: Category
) -> Float[Tensor, "n 5"]:
    """Measure the probability of ``GOOD`` to ``MISS`` for each landmark of a category.

    Args:
        predicted: (N, n, 3) x, y in image pixels and score; NaN for a garment without prediction.
        garments: of the category.
        truth: (N, n, 3) labelled landmarks, image pixels and visibility.
        category: of the garments.
    """
    near = torch.from_numpy(neighbours(garments, truth)).float()
    mirror = torch.from_numpy(category.mirror())
    sides = torch.from_numpy(garments.boxes[:, 2:] - garments.boxes[:, :2]).float()
    types = classify_errors(
        torch.from_numpy(predicted[..., :2]).float(),
        torch.from_numpy(truth).float(),
        near,
        sides.prod(1),
        torch.from_numpy(category.sigmas).float(),
        mirror,
    )
    has = near[..., 2] > 0
    groups = torch.tensor(landmark_groups(category))
    everything = torch.ones(1, len(groups), dtype=torch.bool)
    published = type_probabilities(everything, torch.zeros(1, dtype=torch.bool), groups)[0]
    return count_rates(types, (has | has[:, mirror]).float(), published)
