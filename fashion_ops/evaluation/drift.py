"""How unlike a new batch is to what was there: category mix, landmark configurations, images.

Each measure is a distance with the probability that chance alone makes it as large: the population
stability index of the categories (chi-squared: a PSI times n m / (n + m) has nearly that distribution)
and Kolmogorov-Smirnov distances of everything that is a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import chi2, ks_1samp, ks_2samp, uniform

STATISTICS = ("brightness", "contrast", "saturation", "sharpness", "megapixels", "aspect")
_BEFORE, _BATCH = "#6a6f78", "#c98b2b"


@dataclass(frozen=True)
class Measure:
    """One comparison. ``value``: the distance; ``p``: probability of so large a one by chance."""

    name: str
    kind: str  # psi | ks
    value: float
    p: float

    def is_drift(self, limits: Mapping[str, float], significance: float) -> bool:
        """Larger than its kind's limit, and no chance."""
        return self.value > limits[self.kind] and self.p < significance


def category_mix(batch: np.ndarray, before: np.ndarray) -> Measure:
    """Population stability index between counts of categories (K,).

    A category that one side lacks counts half a garment there, as usual.
    """
    n, m = float(batch.sum()), float(before.sum())
    a, b = np.maximum(batch, 0.5) / n, np.maximum(before, 0.5) / m
    present = (batch + before) > 0
    psi = float(((a - b) * np.log(a / b))[present].sum())
    freedom = max(1, int(present.sum()) - 1)
    return Measure("category mix", "psi", psi, float(chi2.sf(psi * n * m / (n + m), freedom)))


def ranks(batch: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Share of ``before`` below each value of ``batch``: uniform over 0..1 where nothing changed."""
    order = np.sort(before)
    low, high = np.searchsorted(order, batch, "left"), np.searchsorted(order, batch, "right")
    return (low + high + 1) / (2 * len(order) + 2)


def configurations(rank: np.ndarray) -> Measure:
    """From ranks of distances to the nearest centre, each among its own category's."""
    if not len(rank):
        return Measure("landmark configurations", "ks", 0.0, 1.0)
    found: Any = ks_1samp(rank, uniform.cdf)
    return Measure("landmark configurations", "ks", float(found.statistic), float(found.pvalue))


def image_statistic(name: str, batch: np.ndarray, before: np.ndarray) -> Measure:
    """Two-sample Kolmogorov-Smirnov distance of one number an image."""
    found: Any = ks_2samp(batch, before)
    return Measure(name, "ks", float(found.statistic), float(found.pvalue))


def describe_image(rgb: np.ndarray, width: int, height: int) -> tuple[float, ...]:
    """The ``STATISTICS`` of an image.

    Args:
        rgb: uint8 (H, W, 3), may be smaller than the original.
        width: of the original, pixels.
        height: of the original, pixels.
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    edges = cv2.Laplacian(gray, cv2.CV_32F)
    shape = (width * height / 1e6, width / height)
    return (
        *(float(gray.mean()), float(gray.std()), float(saturation.mean())),
        *(float(np.log1p(edges.var())), *shape),
    )


def draw(
    path: Path,
    names: Sequence[str],
    mix: tuple[np.ndarray, np.ndarray],
    rank: np.ndarray,
    statistics: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
) -> None:
    """Write the comparison as PNG: mix of categories, ranks of configurations, image statistics.

    Args:
        path: of the PNG.
        names: of the categories.
        mix: counts (batch, before).
        rank: as ``configurations`` takes it.
        statistics: name -> values (batch, before).
        title: which batch.
    """
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    top, bottom = halves
    left, right = top.subplots(1, 2, width_ratios=(2, 1))
    x = np.arange(len(names))
    for k, (counts, color, label) in enumerate(
        zip(mix, (_BATCH, _BEFORE), ("batch", "before"), strict=True)
    ):
        share = counts / max(1, counts.sum())
        left.bar(x + 0.4 * k, share, 0.4, color=color, label=f"{label}: {int(counts.sum())} garments")
    left.set_xticks(x + 0.2, [n.replace("_", " ") for n in names], rotation=35, ha="right")
    left.set_ylabel("share of garments")
    left.set_ylim(top=1.25 * left.get_ylim()[1])
    left.legend(frameon=False, ncols=2, loc="upper left")
    right.hist(rank, np.linspace(0, 1, 11), color=_BATCH)
    right.axhline(len(rank) / 10, color=_BEFORE, lw=1.5)
    right.set_xlabel("rank of the distance to the nearest centre")
    right.set_ylabel("garments of the batch")
    for axes, (name, (batch, before)) in zip(
        bottom.subplots(2, 3).ravel(), statistics.items(), strict=True
    ):
        both = np.concatenate([batch, before])
        low, high = float(both.min()), float(both.max())
        edges = np.linspace(low, high, 21) if high > low else np.array([low - 0.5, low + 0.5])
        for values, color in ((before, _BEFORE), (batch, _BATCH)):
            axes.hist(values, edges, density=True, color=color, alpha=0.6)
        axes.set_title(name, fontsize=10)
        axes.set_yticks([])
    figure.savefig(path, dpi=80, metadata={"Software": None})
