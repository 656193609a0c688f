"""Is one model better than another, or were the images kind to it? The paired bootstrap.

Images are drawn with replacement (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch.
13), the same ones for both models, and both are scored on them: the spread of the difference is what
chance in the choice of images explains. Who takes which garment does not depend on other images,
so the matching is done once; an image that was drawn three times has its detections and garments
counted three times (of equal scores in one image, all copies of the first come before those of the
second). Landmark AP of all areas, as ``oks`` defines it.

Letters in shapes: B resamples, P images, C categories, T thresholds, D detections, J hits among them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fashion_ops.evaluation.matching import RECALLS
from fashion_ops.evaluation.oks import MAX_DETECTIONS, Detections, GroundTruth, match_category

_ALL_AREAS = 0
_CHUNK = 1 << 22  # numbers of one array at once
_EPS = np.spacing(1)


@dataclass(frozen=True)
class Difference:
    """AP of two models on the same images, and where the difference lies with the given confidence.

    ``difference`` is ``new - old``; NaN where there is nothing to find.
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
    """Over all categories, and by category id."""

    overall: Difference
    per_category: dict[int, Difference]


@dataclass(frozen=True)
class _Category:
    """One category's detections by falling score, of all images.

    ``image`` (D,), ``right`` and ``wrong`` (T, D) bool; ``garments`` (P,): to be found in each.
    """

    image: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
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
    """Landmark AP of two models on the same images, with the interval of the difference.

    Args:
        truth: the garments.
        new: one model's predictions.
        old: the other's.
        resamples: how many times the images are drawn.
        confidence: share of the resamples within the interval, the same share beyond each end.
        seed: of the draws.
        max_detections: best predictions counted per image and category.
    """
    models = [_prepare(truth, found, max_detections) for found in (new, old)]
    once = np.ones((1, len(truth.image_ids)), np.int64)
    aps = np.concatenate([_aps(m, once) for m in models])  # (2, C)
    draws = np.concatenate(
        [
            np.stack([_aps(m, weights) for m in models], -1)
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


def resampled_aps(
    truth: GroundTruth, found: Detections, weights: np.ndarray, max_detections: int = MAX_DETECTIONS
) -> np.ndarray:
    """AP by category where each image counts ``weights`` (B, P) times: (B, C), NaN: nothing to find.

    Images and categories are in the order of ``truth.image_ids`` and ``truth.category_ids``.
    """
    return _aps(_prepare(truth, found, max_detections), weights)


def _prepare(truth: GroundTruth, found: Detections, max_detections: int) -> list[_Category]:
    """Match every category once."""
    categories = []
    for category_id in truth.category_ids:
        matched = match_category(truth, found, category_id, max_detections)
        order = np.argsort(-found.score[matched.rows], kind="stable")
        hit, skip = (x[_ALL_AREAS][:, order] for x in (matched.hit, matched.skip))
        counted = truth.image[matched.garments[~matched.ignored[_ALL_AREAS]]]
        categories.append(
            _Category(
                np.searchsorted(truth.image_ids, found.image[matched.rows[order]]),
                hit & ~skip,
                ~hit & ~skip,
                np.bincount(np.searchsorted(truth.image_ids, counted), minlength=len(truth.image_ids)),
            )
        )
    return categories


def _draws(images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image was drawn, a few resamples at a time: (b, P)."""
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // images)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield random.multinomial(images, np.full(images, 1 / images), size)


def _aps(categories: list[_Category], weights: np.ndarray) -> np.ndarray:
    return np.stack([_category_aps(c, weights) for c in categories], -1)


def _category_aps(c: _Category, weights: np.ndarray) -> np.ndarray:
    """AP of one category, (B,).

    As ``matching.precision_recall``, with hits alone: precision is highest where one was just made, so
    the points between them never carry the envelope, and a hit that counts zero times repeats the point
    before it. Each hit holds the recalls that it is the first to reach.
    """
    total = weights @ c.garments
    out = np.zeros(len(weights))
    step = max(1, _CHUNK // max(1, len(c.image)))
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        own = weights[part][:, c.image]  # (b, D)
        for right, wrong in zip(c.right, c.wrong, strict=True):
            at = np.flatnonzero(right)
            true = own[:, at].cumsum(1).astype(float)  # (b, J)
            false = (own * wrong).cumsum(1)[:, at]
            precision = true / (false + true + _EPS)
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            recall = true / np.maximum(total[part], 1)[:, None]
            reached = np.searchsorted(RECALLS, recall, side="right")
            out[part] += (envelope * np.diff(reached, axis=1, prepend=0)).sum(1)
    return np.where(total > 0, out / (len(RECALLS) * len(c.right)), np.nan)


def _mean(aps: np.ndarray) -> np.ndarray:
    """Mean over the categories that have something to find: (B, C) -> (B,)."""
    known = ~np.isnan(aps)
    return np.where(known, aps, 0).sum(-1) / np.where(known.any(-1), known.sum(-1), np.nan)
