"""Plots of a post-processing search: AP over both sigmas (DeepMark++ Fig. 10), gamma and alpha.

The same numbers give the same bytes: no date or version is written into the PNG files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

# The best values that DeepMark++ reports (4.1 and 4.2.1).
PAPER = {
    "DeepFashion2, Hourglass": {
        "sigma_center": 0.45,
        "sigma_landmark": 0.9,
        "gamma": 0.75,
        "alpha": 0.8,
    },
    "COCO, DLA-34": {"sigma_center": 0.25, "sigma_landmark": 0.65, "gamma": 0.8, "alpha": 0.75},
}
_MARKS = ("s", "^")
_INK, _SOFT, _BLUE, _ORANGE = "#1b1d22", "#6a6f78", "#3b76d6", "#c98b2b"
LABELS = {
    "sigma_center": "σ of the centre heatmaps, cells",
    "sigma_landmark": "σ of the landmark heatmaps, cells",
    "gamma": "γ, weight of the refined position",
    "alpha": "α, weight of the centre's own score",
}


def draw_sigmas(
    path: Path,
    aps: np.ndarray,
    sigma_center: Sequence[float],
    sigma_landmark: Sequence[float],
    best: tuple[float, float],
) -> None:
    """Write a PNG with the heatmap of AP over both sigmas.

    Args:
        path: the PNG file.
        aps: landmark AP (sigma_landmark, sigma_center), as fractions.
        sigma_center: values of the columns, ascending.
        sigma_landmark: values of the rows, ascending.
        best: the best (sigma_center, sigma_landmark).
    """
    figure = _figure(6.4, 5.6)
    axes = figure.add_subplot()
    shades = axes.pcolormesh(_edges(sigma_center), _edges(sigma_landmark), aps, cmap="viridis")
    axes.set_aspect("equal")
    for (name, values), mark in zip(PAPER.items(), _MARKS, strict=True):
        at = values["sigma_center"], values["sigma_landmark"]
        axes.plot(*at, mark, ms=9, mfc="none", mec="white", mew=1.8, label=f"paper: {name}", ls="")
    label = f"best here: {best[0]:g}, {best[1]:g}"
    axes.plot(*best, "*", ms=17, mfc="#e5484d", mec="white", mew=1.2, label=label, ls="")
    _tidy(axes)
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    axes.yaxis.set_major_locator(MultipleLocator(0.1))
    axes.set_xlabel(LABELS["sigma_center"])
    axes.set_ylabel(LABELS["sigma_landmark"])
    bar = figure.colorbar(shades, ax=axes, shrink=0.86, pad=0.02)
    bar.set_label("landmark AP, own boxes", color=_INK)
    bar.ax.spines["outline"].set_visible(False)
    bar.ax.tick_params(colors=_SOFT, length=0)
    legend = figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8.5)
    for handle in legend.legend_handles[:2]:
        assert isinstance(handle, Line2D)
        handle.set_markeredgecolor(_INK)  # white on the heatmap, dark on paper
    _save(figure, path)


def draw_curves(
    path: Path, curves: Mapping[str, Sequence[tuple[float, float, float]]], best: Mapping[str, float]
) -> None:
    """Write a PNG with AP over the values of each parameter, one panel for each parameter.

    Args:
        path: the PNG file.
        curves: ``gamma``, ``alpha`` or both, each with its (value, landmark AP, box AP) in order.
        best: the best value of each parameter.
    """
    figure = _figure(4.6 * len(curves), 3.5)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (name, points) in zip(panels, curves.items(), strict=True):
        values, landmark, box = np.array(points).T
        other = axes.twinx()
        other.plot(values, box, color=_ORANGE, lw=1.4)
        axes.plot(values, landmark, color=_BLUE, lw=2.2)
        best_ap = landmark[int(np.argmin(np.abs(values - best[name])))]
        axes.plot(best[name], best_ap, "*", ms=14, mfc="#e5484d", mec="white", clip_on=False, zorder=5)
        for known, dash in zip(PAPER.values(), ("-", ":"), strict=True):
            axes.axvline(known[name], color=_SOFT, lw=1, ls=dash, zorder=0)
        for side, color, label in ((axes, _BLUE, "landmark AP"), (other, _ORANGE, "box AP")):
            _tidy(side)
            side.set_ylabel(label, color=color)
            side.tick_params(axis="y", colors=color)
        axes.set_xlabel(LABELS[name])
        axes.set_title(f"best here: {best[name]:g}", fontsize=10, color=_INK)
    figure.supxlabel(
        "vertical lines: the paper's values for DeepFashion2 (solid) and COCO (dotted)",
        fontsize=8.5,
        color=_SOFT,
    )
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure((width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _edges(values: Sequence[float]) -> np.ndarray:
    """Borders of the cells around two or more ascending values."""
    middle = (np.array(values[1:]) + values[:-1]) / 2
    return np.array([2 * values[0] - middle[0], *middle, 2 * values[-1] - middle[-1]])


def _tidy(axes: Axes) -> None:
    axes.tick_params(colors=_SOFT, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": None})
