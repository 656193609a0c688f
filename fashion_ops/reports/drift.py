"""The figure of the ``drift`` step: the newest batch beside the data before it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_BEFORE, _BATCH = "#6a6f78", "#c98b2b"


def draw_drift(
    path: Path,
    names: Sequence[str],
    mix: tuple[np.ndarray, np.ndarray],
    rank: np.ndarray,
    statistics: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
) -> None:
    """Draw category mix, ranks of landmark configurations and image statistics as PNG.

    Args:
        path: of the PNG.
        names: of the K categories.
        mix: number of garments by category (K,), of the batch and before it.
        rank: see ``evaluation.drift.configurations``.
        statistics: for each name, the values of the batch's images and of images before it.
        title: name of the batch.
    """
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    top, bottom = halves
    left, right = top.subplots(1, 2, width_ratios=(2, 1))
    _draw_mix(left, names, mix)
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


def _draw_mix(axes: Axes, names: Sequence[str], mix: tuple[np.ndarray, np.ndarray]) -> None:
    x = np.arange(len(names))
    for k, (counts, color, label) in enumerate(
        zip(mix, (_BATCH, _BEFORE), ("batch", "before"), strict=True)
    ):
        share = counts / max(1, counts.sum())
        axes.bar(x + 0.4 * k, share, 0.4, color=color, label=f"{label}: {int(counts.sum())} garments")
    axes.set_xticks(x + 0.2, [n.replace("_", " ") for n in names], rotation=35, ha="right")
    axes.set_ylabel("share of garments")
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(frameon=False, ncols=2, loc="upper left")
