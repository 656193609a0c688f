"""Estimates the shape priors of ``shape_prior`` from labels, of which any may be missing.

Factor analysis by EM (Rubin and Thayer, Psychometrika 1982); a missing label leaves its terms out of
both steps. The noise counts as seen ``_COUNT`` times before at ``_NOISE``. A category of fewer than
``LEAST_GARMENTS`` has no prior: one of 20 garments is too sure of itself and does harm. A landmark that
was never labelled has none either.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fashion_ops.methods.parts.shape_prior import ShapePrior, box_frames
from fashion_ops.taxonomy import Grouping

_RANK = 16  # factors at most; more bring nothing on the wardrobe (docs/results/shape_prior.md)
LEAST_GARMENTS = 100  # of a category, for a prior
_MOST = 4000  # garments of a category, evenly spread
_STEPS = 15  # of EM
_NOISE, _COUNT = 0.03**2, 5.0  # variance in box sides, and its weight in garments
_LEAST_NOISE = 0.004**2  # labels are whole pixels
_UNKNOWN = 1.0  # variance of a landmark that was never labelled: as wide as the box
_DECIMALS = 6  # that are stored, so that rounding in the last bits of a sum changes no file


def fit_shape_priors(
    grouping: Grouping, category_ids: np.ndarray, boxes: np.ndarray, landmarks: np.ndarray
) -> dict[int, ShapePrior]:
    """Estimate the prior of each category among N garments, by category id.

    Args:
        grouping: of the landmarks.
        category_ids: (N,) 1..13.
        boxes: (N, 4) x1, y1, x2, y2, pixels.
        landmarks: (N, K, 3) x, y, visibility in the grouping's channels; 0 is not labelled.
    """
    priors = {}
    for c in np.unique(category_ids).tolist():
        rows = np.flatnonzero(category_ids == c)
        prior = fit_shape_prior(grouping.ungroup(c, landmarks[rows]), boxes[rows])
        if prior is not None:
            priors[c] = prior
    return priors


def fit_shape_prior(landmarks: np.ndarray, boxes: np.ndarray) -> ShapePrior | None:
    """Estimate the prior of one category from N garments; None if they are too few.

    Args:
        landmarks: (N, n, 3) x, y in pixels, visibility.
        boxes: (N, 4).
    """
    labelled = landmarks[..., 2] > 0
    if labelled.any(1).sum() < LEAST_GARMENTS:
        return None
    if len(boxes) > _MOST:
        drawn = np.linspace(0, len(boxes) - 1, _MOST).astype(int)
        landmarks, boxes, labelled = landmarks[drawn], boxes[drawn], labelled[drawn]
    middle, side = box_frames(boxes)
    places = np.where(labelled[..., None], (landmarks[..., :2] - middle) / side, 0)
    x = torch.from_numpy(places.astype(np.float64)).flatten(1)
    known = torch.from_numpy(labelled.repeat(2, 1))
    factors = min(_RANK, x.shape[1])
    mean, basis, noise = _start(x, known, factors)
    for _ in range(_STEPS):
        mean, basis, noise = _em_step(x, known, mean, basis, noise)
    n = landmarks.shape[1]
    shapes: Sequence[tuple[int, ...]] = ((n, 2), (n, 2, factors), (n, 2))
    parts = (
        np.round(part.numpy(), _DECIMALS).astype(np.float32).reshape(shape)
        for part, shape in zip((mean, basis, noise), shapes, strict=True)
    )
    return ShapePrior(*parts)


def _start(
    x: Float[Tensor, "g d"], known: Bool[Tensor, "g d"], factors: int
) -> tuple[Float[Tensor, " d"], Float[Tensor, "d q"], Float[Tensor, " d"]]:
    """Mean, basis and noise that EM starts from: PCA of the covariances of the labels there are."""
    seen = known.to(x.dtype)
    mean = x.sum(0) / seen.sum(0).clamp_min(1)
    centred = (x - mean) * seen
    covariance = centred.T @ centred / (seen.T @ seen).clamp_min(1)
    values, vectors = torch.linalg.eigh(covariance)
    basis = vectors[:, -factors:] * values[-factors:].clamp_min(1e-8).sqrt()
    noise = covariance.diagonal() - (basis**2).sum(1)
    return mean, basis, noise.clamp_min(_LEAST_NOISE)


def _em_step(
    x: Float[Tensor, "g d"],
    known: Bool[Tensor, "g d"],
    mean: Float[Tensor, " d"],
    basis: Float[Tensor, "d q"],
    noise: Float[Tensor, " d"],
) -> tuple[Float[Tensor, " d"], Float[Tensor, "d q"], Float[Tensor, " d"]]:
    """One step of EM: the factors of each garment, then the model that explains them best."""
    q = basis.shape[1]
    precision = known / noise
    squares = (basis[:, :, None] * basis[:, None]).flatten(1)
    inner = (precision @ squares).view(-1, q, q) + torch.eye(q, dtype=x.dtype)
    covariance = torch.linalg.inv(inner)
    z = (covariance @ ((precision * (x - mean)) @ basis)[..., None])[..., 0]
    ones = torch.ones_like(z[:, :1])
    with_one = torch.cat([z, ones], 1)  # the mean is the coefficient of 1
    second = with_one[:, :, None] * with_one[:, None]
    second[:, :q, :q] += covariance
    weight = known.to(x.dtype)
    left = (weight.T @ second.flatten(1)).view(-1, q + 1, q + 1)
    left[:, torch.arange(q), torch.arange(q)] += 1e-3  # of a landmark that is never labelled
    left[:, q, q] += 1e-6
    right = (x * weight).T @ with_one
    both = torch.linalg.solve(left, right[..., None])[..., 0]
    basis, mean = both[:, :q], both[:, q]
    squares = (basis[:, :, None] * basis[:, None]).flatten(1)
    residual = (x - mean - z @ basis.T) ** 2 + covariance.flatten(1) @ squares.T
    count = weight.sum(0)
    noise = ((residual * weight).sum(0) + _COUNT * _NOISE) / (count + _COUNT)
    return mean, basis, torch.where(count > 0, noise.clamp_min(_LEAST_NOISE), _UNKNOWN)
