"""Drawings for figures 5 and 6: curves and bars with one colour a method."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from papers.write import add_legend

COLORS = ("#b8b8b8", "#7b7b7b", "#e0a458", "#c05621", "#7fb2e5", "#2b6cb0")
_COLUMNS, _PANEL = 4, (2.7, 2.2)  # panels a row; inches


def draw_curves(
    path: Path, xs: Sequence[int], curves: Mapping[str, Mapping[str, np.ndarray]], title: str
) -> None:
    """Draw one panel a subject with one curve a method.

    Args:
        path: of the PNG.
        xs: distances, pixels.
        curves: method -> subject -> percent at each distance.
        title: of the figure.
    """
    subjects = list(next(iter(curves.values())))
    lines = -(-len(subjects) // _COLUMNS)
    figure, axes = _figure(lines, _COLUMNS, title)
    for panel, subject in zip(axes, subjects, strict=False):
        for color, (method, by_subject) in zip(COLORS, curves.items(), strict=False):
            panel.plot(xs, by_subject[subject], color=color, linewidth=1.6, label=method)
        panel.set_title(subject, fontsize=9)
        panel.set_ylim(0, 100)
        panel.set_xlabel("px of 224", fontsize=8)
    for panel in axes[len(subjects) :]:
        panel.set_visible(False)
    _save(figure, axes[0], path)


def draw_bars(path: Path, table: pd.DataFrame, title: str) -> None:
    """Draw one group of bars a column with one bar a row."""
    figure, [panel] = _figure(1, 1, title, (8.0, 3.2))
    width = 0.8 / len(table)
    for k, (color, (method, values)) in enumerate(zip(COLORS, table.iterrows(), strict=False)):
        places = np.arange(len(values)) + (k - (len(table) - 1) / 2) * width
        panel.bar(places, values.to_numpy(float), width * 0.92, color=color, label=str(method))
    panel.set_xticks(range(len(table.columns)), list(table.columns))
    panel.set_ylabel("%", fontsize=8)
    _save(figure, panel, path)


def _figure(lines: int, columns: int, title: str, size: tuple[float, float] | None = None):  # noqa: ANN202
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    inches = size or (_PANEL[0] * columns, _PANEL[1] * lines + 0.6)
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in axes:
        panel.grid(axis="y", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.tick_params(labelsize=8, length=0)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure, axes


def _save(figure, panel, path: Path) -> None:  # noqa: ANN001 (matplotlib's)
    handles, names = panel.get_legend_handles_labels()
    add_legend(figure, handles, names)
    figure.savefig(path, dpi=110, metadata={"Software": None})
