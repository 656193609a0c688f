"""The 13 categories as drawings of their mean shapes, with a number at each landmark."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.evaluation.mean_shape import fit_mean_shape
from fashion_ops.taxonomy import CATEGORIES, Category
from papers.evaluation_set import EvaluationSet
from papers.table import Column, Table

_COLUMNS, _INCHES = 5, 2.7
_SIDES = {"left": "#2b6cb0", "right": "#c05621", "center": "#555555"}


def skeleton_table(
    name: str,
    title: str,
    evaluated: EvaluationSet,
    theirs: str,
    columns: Mapping[str, Sequence[int]],
    notes: tuple[str, ...],
    numbers: Callable[[Category], np.ndarray],
) -> Table:
    """Make a table of one row a category, whose picture has the training garments' mean shapes.

    Args:
        name: of the table.
        title: of table and picture.
        evaluated: the data set.
        theirs: what the paper drew.
        columns: a number for each category, by header.
        notes: sentences below the table.
        numbers: of each landmark of a category, (num_landmarks,).
    """
    garments = evaluated.training_garments()
    return Table(
        name=name,
        title=title,
        columns=tuple(Column(header, 0, "nothing", zero=True) for header in columns),
        rows=pd.DataFrame(columns, index=pd.Index([c.name for c in CATEGORIES], name="category")),
        ours=f"mean shapes of {len(garments)} training garments, as wide and high as their median box",
        theirs=theirs,
        same_data=evaluated.is_papers_data,
        notes=notes,
        picture=partial(draw_skeletons, garments=garments, numbers=numbers, title=title),
    )


def draw_skeletons(
    path: Path, garments: pd.DataFrame, numbers: Callable[[Category], np.ndarray], title: str
) -> None:
    """Draw one panel a category that has garments.

    Args:
        path: of the PNG.
        garments: whose mean shapes are drawn.
        numbers: of each landmark of a category, (num_landmarks,).
        title: of the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shapes, aspects = fit_mean_shape(garments), _aspects(garments)
    shown = [c for c in CATEGORIES if c.id in aspects]
    lines = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _INCHES, lines * _INCHES + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, _COLUMNS, squeeze=False).ravel()
    for panel, c in zip(panels, shown, strict=False):
        xy = shapes[c.id] * aspects[c.id]
        for a, b in c.links:
            panel.plot(*xy[[a, b]].T, color="#bbbbbb", linewidth=1.0, zorder=1)
        colors = [_SIDES.get(name.split("_")[0], _SIDES["center"]) for name in c.landmark_names]
        panel.scatter(*xy.T, s=9, c=colors, zorder=2)
        middle = xy.mean(0)
        for point, number, color in zip(xy, numbers(c), colors, strict=True):
            away = (point - middle) / max(float(np.linalg.norm(point - middle)), 1e-6)
            panel.annotate(
                str(int(number)),
                point,
                xytext=7 * away * (1, -1),  # the axis of a picture points down
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=6,
                color=color,
            )
        panel.set_title(f"{c.label} ({c.num_landmarks})", fontsize=9)
        panel.margins(0.12)
        panel.set_aspect("equal")
        panel.invert_yaxis()
    for panel in panels:
        panel.axis("off")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=130, metadata={"Software": None})


def _aspects(garments: pd.DataFrame) -> dict[int, np.ndarray]:
    """Median (width, height) of the boxes of each category, over its longer side."""
    out = {}
    for category_id, rows in garments.groupby("category_id"):
        boxes = np.stack(rows["box"].to_list()).astype(float)
        size = np.median(boxes[:, 2:] - boxes[:, :2], 0)
        out[int(category_id)] = size / size.max()  # type: ignore[call-overload]
    return out
