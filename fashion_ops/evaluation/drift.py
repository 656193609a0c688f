"""Drift of a new batch from the data before it: category mix, landmark configurations, images.

Each measure is a distance with its p-value, the probability of so large a distance by chance: the
population stability index (PSI) of the categories, whose product with n m / (n + m) is nearly
chi-squared distributed, and Kolmogorov-Smirnov (KS) distances of all numbers. ``reports.drift`` draws
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.stats import chi2, ks_1samp, ks_2samp, uniform

STATISTICS = ("brightness", "contrast", "saturation", "sharpness", "megapixels", "aspect")


@dataclass(frozen=True)
class Measure:
    """One comparison of a batch with the data before it."""

    name: str
    kind: str  # psi | ks
    value: float  # the distance
    p: float  # probability of so large a distance by chance

    def is_drift(self, limits: Mapping[str, float], significance: float) -> bool:
        """Whether the distance is over the limit of its kind, and ``p`` below ``significance``."""
        return self.value > limits[self.kind] and self.p < significance


def category_mix(batch: np.ndarray, before: np.ndarray) -> Measure:
    """Population stability index between two counts of garments by category, each of shape (K,).

    A category without a garment on one side counts as half a garment there, as is usual.
    """
    n, m = float(batch.sum()), float(before.sum())
    a, b = np.maximum(batch, 0.5) / n, np.maximum(before, 0.5) / m
    present = (batch + before) > 0
    psi = float(((a - b) * np.log(a / b))[present].sum())
    freedom = max(1, int(present.sum()) - 1)
    return Measure("category mix", "psi", psi, float(chi2.sf(psi * n * m / (n + m), freedom)))


def ranks(batch: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Share of ``before`` below each value of ``batch``; uniform over 0..1 if nothing changed."""
    ordered = np.sort(before)
    low, high = np.searchsorted(ordered, batch, "left"), np.searchsorted(ordered, batch, "right")
    return (low + high + 1) / (2 * len(ordered) + 2)


def configurations(rank: np.ndarray) -> Measure:
    """Kolmogorov-Smirnov distance of ``rank`` from the uniform distribution.

    Args:
        rank: for each garment of the batch, the rank of the distance of its landmark configuration to
            the nearest centre, among the garments of its category; see ``ranks``. May be empty.
    """
    if not len(rank):
        return Measure("landmark configurations", "ks", 0.0, 1.0)
    test: Any = ks_1samp(rank, uniform.cdf)
    return Measure("landmark configurations", "ks", float(test.statistic), float(test.pvalue))


def image_statistic(name: str, batch: np.ndarray, before: np.ndarray) -> Measure:
    """Two-sample Kolmogorov-Smirnov distance of a statistic that has one number per image."""
    test: Any = ks_2samp(batch, before)
    return Measure(name, "ks", float(test.statistic), float(test.pvalue))


def describe_image(rgb: np.ndarray, width: int, height: int) -> tuple[float, ...]:
    """The ``STATISTICS`` of an image.

    Args:
        rgb: uint8 (H, W, 3), may be smaller than the original.
        width: width of the original, pixels.
        height: height of the original, pixels.
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    edges = cv2.Laplacian(gray, cv2.CV_32F)
    photometric = (gray.mean(), gray.std(), saturation.mean(), np.log1p(edges.var()))
    return *map(float, photometric), width * height / 1e6, width / height
