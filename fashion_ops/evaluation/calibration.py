"""Whether a landmark's score, or its standard deviation, says how far off the landmark is.

A landmark is near if its own object keypoint similarity is at least 1/2. A score is calibrated if the
share of near landmarks among those with score p is p; a standard deviation if the distances of the
landmarks with deviation s are s in the root mean square. One temperature mends what is too sure or too
unsure, the ranking stays (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017):

- of scores: the logit is divided by it; fitted by the likelihood of being near;
- of standard deviations: they are multiplied by it; fitted by the likelihood of the distances under a
  round normal distribution, whose maximum is known.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.optimize import minimize_scalar

from fashion_ops.taxonomy import CATEGORIES, category

BINS = 10
_EDGE = 1e-4  # scores are kept this far from 0 and 1, whose logits are infinite
_RANGE = (-4.0, 4.0)  # of the temperature's natural logarithm


@dataclass(frozen=True)
class Bin:
    """Landmarks of similar score or deviation: their mean, what was measured, and how many they are."""

    predicted: float
    measured: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """What the scores of a method's landmarks are worth.

    Attributes:
        bins: of the scores as predicted.
        error: their calibration error.
        temperature: fitted on other garments; None without any.
        tempered: the bins of the scores with it; empty without.
        tempered_error: their calibration error; None without.
    """

    bins: list[Bin]
    error: float
    temperature: float | None
    tempered: list[Bin]
    tempered_error: float | None


def reliability(evaluated: "ScoredPoints", held_out: "ScoredPoints | None" = None) -> Reliability:
    """Compare scores with the shares of near landmarks, and fit a temperature on other garments.

    Args:
        evaluated: landmarks that are looked at.
        held_out: landmarks of garments that no network has seen in training; None or empty fits none.
    """
    bins = score_bins(evaluated.scores, evaluated.near)
    if held_out is None or not len(held_out.scores):
        return Reliability(bins, calibration_error(bins), None, [], None)
    temperature = fit_score_temperature(held_out.scores, held_out.near)
    tempered = score_bins(temper_scores(evaluated.scores, temperature), evaluated.near)
    return Reliability(
        bins, calibration_error(bins), temperature, tempered, calibration_error(tempered)
    )


@dataclass(frozen=True)
class ScoredPoints:
    """Labelled landmarks (n,) of many garments: scores, 0..1, and which of them are near."""

    scores: Float[np.ndarray, " n"]
    near: Bool[np.ndarray, " n"]

    @classmethod
    def of(cls, garments: pd.DataFrame, predictions: pd.DataFrame) -> "ScoredPoints":
        """Take the labelled landmarks of garments that were predicted in their labelled boxes.

        Args:
            garments: ``schemas.GARMENTS``.
            predictions: ``schemas.PREDICTIONS``, joined by garment_id; garments without are left out.
        """
        predicted = dict(zip(predictions["garment_id"], predictions["landmarks"], strict=True))
        scores, near = [np.zeros(0)], [np.zeros(0, bool)]
        for c in CATEGORIES:
            own = garments[garments["category_id"] == c.id]
            own = own[own["garment_id"].isin(list(predicted))]
            if own.empty:
                continue
            truth = np.stack([np.reshape(x, (-1, 3)) for x in own["landmarks"]]).astype(float)
            found = np.stack([np.reshape(predicted[i], (-1, 3)) for i in own["garment_id"]]).astype(
                float
            )
            boxes = np.stack(own["box"].to_list()).astype(float)
            radii = near_radius(c.id, (boxes[:, 2:] - boxes[:, :2]).clip(1).prod(1))
            labelled = truth[..., 2] > 0
            distances = np.linalg.norm(found[..., :2] - truth[..., :2], axis=-1)
            scores.append(found[..., 2][labelled])
            near.append((distances <= radii)[labelled])
        return cls(np.concatenate(scores), np.concatenate(near))


def near_radius(category_id: int, areas: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """Compute the distances, pixels, at which each landmark of garments has a similarity of 1/2.

    Args:
        category_id: of all garments.
        areas: of their boxes, square pixels.
    """
    sigmas = category(category_id).sigmas
    return 2 * sigmas[None] * np.sqrt(2 * math.log(2) * np.asarray(areas, float)[:, None])


def fit_score_temperature(scores: Float[np.ndarray, " n"], near: Bool[np.ndarray, " n"]) -> float:
    """Fit the temperature of scores, 0..1, of landmarks that are near or not; 1 without any."""
    if not len(scores):
        return 1.0
    logits = _logit(scores)
    signs = np.where(near, 1.0, -1.0)

    def cost(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signs * logits / math.exp(log_temperature)).mean())

    best: Any = minimize_scalar(cost, bounds=_RANGE, method="bounded")
    return math.exp(float(best.x))


def temper_scores(scores: Float[np.ndarray, " n"], temperature: float) -> Float[np.ndarray, " n"]:
    """Divide the logits of scores, 0..1, by a temperature."""
    return 1 / (1 + np.exp(-_logit(scores) / temperature))


def fit_std_temperature(stds: Float[np.ndarray, " n"], distances: Float[np.ndarray, " n"]) -> float:
    """Fit the factor of standard deviations of distances, both in one unit; 1 without any."""
    return float(np.sqrt(np.mean((distances / stds) ** 2))) if len(stds) else 1.0


def score_bins(scores: Float[np.ndarray, " n"], near: Bool[np.ndarray, " n"]) -> list[Bin]:
    """Average score and share of near landmarks, in ``BINS`` equal steps of the score, if not empty."""
    index = np.minimum((scores * BINS).astype(int), BINS - 1)
    parts = [(scores[index == i], near[index == i]) for i in range(BINS)]
    return [Bin(float(s.mean()), float(n.mean()), len(s)) for s, n in parts if len(s)]


def calibration_error(bins: list[Bin]) -> float:
    """The mean distance between score and share, weighted by the landmarks of each bin (ECE)."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.predicted - b.measured) for b in bins) / total if total else 0.0


def std_bins(stds: Float[np.ndarray, " n"], distances: Float[np.ndarray, " n"]) -> list[Bin]:
    """Root mean square of deviation and of distance, in ``BINS`` groups of as many landmarks each."""
    order = np.argsort(stds, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    pairs = [(stds[part], distances[part]) for part in parts]
    return [Bin(_root_mean_square(s), _root_mean_square(d), len(s)) for s, d in pairs]


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _logit(scores: np.ndarray) -> np.ndarray:
    inside = np.clip(np.asarray(scores, float), _EDGE, 1 - _EDGE)
    return np.log(inside) - np.log1p(-inside)
