"""Paired bootstrap of the normalised error: is one model better, or is it the choice of garments?

As ``bootstrap`` does with AP: garments are drawn with replacement, the same ones for both models. Each
image shows one garment.
"""

import numpy as np

from fashion_ops.evaluation.bootstrap import Difference

_CHUNK = 1 << 22  # numbers in one array at most


def compare_errors(
    new: np.ndarray,
    old: np.ndarray,
    mask: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Difference:
    """Compare the NE of two models, the mean over the landmarks of their mean errors.

    Args:
        new: normalised errors (N, n) of one model.
        old: of the other model, for the same garments.
        mask: bool (N, n), the landmarks that count.
        resamples: number of bootstrap samples.
        confidence: of the interval of the difference, 0..1.
        seed: of the samples.

    Returns:
        Both values and the interval of ``new - old``; NaN where no landmark counts.
    """
    if not mask.any():
        return Difference(*[float("nan")] * 4)
    count = len(mask)
    ones = np.ones((1, count))
    values = [float(_macro(ones, errors, mask)[0]) for errors in (new, old)]
    rng, gaps = np.random.default_rng(seed), []
    step = max(1, _CHUNK // count)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = rng.multinomial(count, np.full(count, 1 / count), size).astype(np.float64)
        gaps.append(_macro(weights, new, mask) - _macro(weights, old, mask))
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(np.concatenate(gaps), (tail, 100 - tail))
    return Difference(values[0], values[1], float(low), float(high))


def _macro(weights: np.ndarray, errors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """NE (B,) of B samples, whose garments count ``weights`` (B, N) times."""
    counts = weights @ mask
    totals = weights @ np.where(mask, errors, 0.0)
    means = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return np.nanmean(means, axis=1)
