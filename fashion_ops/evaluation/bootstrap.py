"""Paired bootstrap: is one model better than another, or is the difference due to the choice of images?

Images are drawn with replacement (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch.
13), the same ones for both models, and both are scored on them. The spread of the difference is what
the choice of images explains. The matching in one image does not depend on other images, so it is done
once. The detections and garments of an image that was drawn three times count three times (of equal
scores in one image, all copies of the first come before those of the second). The score is the
landmark AP over all areas, as ``oks`` defines it.

Letters in shapes: B resamples, P images, C categories, T thresholds, D detections, J hits among them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fashion_ops.evaluation.instances import Detections, GroundTruth
from fashion_ops.evaluation.matching import RECALLS
from fashion_ops.evaluation.oks import MAX_DETECTIONS, match_category

_ALL_AREAS = 0
_CHUNK = 1 << 22  # numbers in one array at most
_EPS = np.spacing(1)


@dataclass(frozen=True)
class Difference:
    """AP of two models on the same images, and the confidence interval of ``new - old``.

    All values are NaN where there is no ground truth.
    """

    new: float
    old: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.new - self.old


@dataclass(frozen=True)
class Comparison:
    """Differences of the AP over all categories, and of each category by id."""

    overall: Difference
    per_category: dict[int, Difference]


@dataclass(frozen=True)
class MatchedCategory:
    """Detections of one category in all images by falling score, matched with the garments.

    Attributes:
        image: (D,) index of the image of each detection.
        true_positive: (T, D) bool.
        false_positive: (T, D) bool. Detections that count neither way are in neither of the two.
        garments: (P,) number of garments to find in each image.
    """

    image: np.ndarray
    true_positive: np.ndarray
    false_positive: np.ndarray
    garments: np.ndarray


def compare(
    truth: GroundTruth,
    new: Detections,
    old: Detections,
    *,
    resamples: int,
    confidence: float,
    seed: int,
    max_detections: int = MAX_DETECTIONS,
) -> Comparison:
    """Compare the landmark AP of two models on the same images.

    Args:
        truth: labelled garments.
        new: predictions of the first model.
        old: predictions of the second model.
        resamples: how many times the images are drawn.
        confidence: share of the resamples within the interval; equal shares lie beyond each end.
        seed: of the draws.
        max_detections: best predictions counted per image and category.

    Returns:
        AP of both models, and the interval of their difference.
    """
    models = [match_categories(truth, detections, max_detections) for detections in (new, old)]
    once = np.ones((1, len(truth.image_ids)), np.int64)
    aps = np.concatenate([resampled_aps(m, once) for m in models])  # (2, C)
    draws = np.concatenate(
        [
            np.stack([resampled_aps(m, weights) for m in models], -1)
            for weights in _draws(len(truth.image_ids), resamples, seed)
        ]
    )  # (B, C, 2)
    gaps = draws[..., 0] - draws[..., 1]
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]

    def difference(pair: np.ndarray, values: np.ndarray) -> Difference:
        known = values[~np.isnan(values)]
        low, high = np.percentile(known, tails) if len(known) else (np.nan, np.nan)
        return Difference(float(pair[0]), float(pair[1]), float(low), float(high))

    return Comparison(
        difference(_mean(aps), _mean(draws[..., 0]) - _mean(draws[..., 1])),
        {int(c): difference(aps[:, k], gaps[:, k]) for k, c in enumerate(truth.category_ids)},
    )


def match_categories(
    truth: GroundTruth, detections: Detections, max_detections: int = MAX_DETECTIONS
) -> list[MatchedCategory]:
    """Match the detections of each category in ``truth.category_ids`` with its garments."""
    categories = []
    for category_id in truth.category_ids:
        matched = match_category(truth, detections, category_id, max_detections)
        order = np.argsort(-detections.score[matched.rows], kind="stable")
        hit, skip = (x[_ALL_AREAS][:, order] for x in (matched.hit, matched.skip))
        counted = truth.image[matched.garments[~matched.ignored[_ALL_AREAS]]]
        categories.append(
            MatchedCategory(
                np.searchsorted(truth.image_ids, detections.image[matched.rows[order]]),
                hit & ~skip,
                ~hit & ~skip,
                np.bincount(np.searchsorted(truth.image_ids, counted), minlength=len(truth.image_ids)),
            )
        )
    return categories


def _draws(images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each image is drawn, (b, P), a few resamples at a time."""
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // images)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield random.multinomial(images, np.full(images, 1 / images), size)


def resampled_aps(categories: list[MatchedCategory], weights: np.ndarray) -> np.ndarray:
    """AP of C matched categories in B resamples, (B, C); NaN where there is no ground truth.

    ``weights`` (B, P) says how often each image counts, in the order of ``truth.image_ids``.
    """
    return np.stack([_category_aps(c, weights) for c in categories], -1)


def _category_aps(c: MatchedCategory, weights: np.ndarray) -> np.ndarray:
    """AP of one category, (B,).

    As ``matching.precision_recall``, but at the hits only: precision is highest right after a hit, so
    the points between hits never carry the envelope, and a hit that counts zero times repeats the point
    before it. Each hit accounts for the recalls that it is the first to reach.
    """
    total = weights @ c.garments
    out = np.zeros(len(weights))
    step = max(1, _CHUNK // max(1, len(c.image)))
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        counts = weights[part][:, c.image]  # (b, D)
        for true_positive, false_positive in zip(c.true_positive, c.false_positive, strict=True):
            hits = np.flatnonzero(true_positive)
            true = counts[:, hits].cumsum(1).astype(float)  # (b, J)
            false = (counts * false_positive).cumsum(1)[:, hits]
            precision = true / (false + true + _EPS)
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            recall = true / np.maximum(total[part], 1)[:, None]
            reached = np.searchsorted(RECALLS, recall, side="right")
            out[part] += (envelope * np.diff(reached, axis=1, prepend=0)).sum(1)
    return np.where(total > 0, out / (len(RECALLS) * len(c.true_positive)), np.nan)


def _mean(aps: np.ndarray) -> np.ndarray:
    """Mean over the categories with ground truth: (B, C) -> (B,)."""
    known = ~np.isnan(aps)
    return np.where(known, aps, 0).sum(-1) / np.where(known.any(-1), known.sum(-1), np.nan)
