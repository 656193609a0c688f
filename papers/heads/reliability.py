"""Figure ``reliability``: what scores and standard deviations say, before and after one temperature.

The temperatures are fitted on training garments that no network has seen, and shown on the evaluation
split (``fashion_ops.evaluation.calibration``).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.evaluation import calibration
from fashion_ops.evaluation.calibration import Bin
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from papers.config import TableConfig
from papers.evaluation_set import load_evaluation_set
from papers.heads.networks import validation_garments
from papers.heads.predicted import Predicted, predict
from papers.heads.runs import SEEDS, Comparison
from papers.table import Column, Table

BEFORE, AFTER = "as predicted", "with temperature"
_COLORS = {BEFORE: "#a0aec0", AFTER: "#2b6cb0"}
Curves = dict[str, list[Bin]]  # by BEFORE and AFTER


def run(config: TableConfig) -> Table:
    """Predict with the networks of the first seed, fit their temperatures, and measure both."""
    evaluated = load_evaluation_set(config)
    comparison = Comparison.open(config, evaluated)
    _, garments = validation_garments(config, evaluated)
    order = np.argsort(comparison.held_out.image_id, kind="stable")
    held_out = comparison.held_out.take(order)
    seed = (config.seeds or SEEDS)[0]
    rows, scores, stds = {}, {}, {}
    for label, row in comparison.rows.items():
        folder = comparison.trained(label, row, seed)
        model = LandmarkPredictor.load(folder, config.device)
        fitted, shown = (predict(model, evaluated.catalog, g) for g in (held_out, garments))
        if row.head == "rle":
            numbers, stds[label] = of_stds(fitted, shown)
        else:
            numbers, scores[label] = of_scores(fitted, shown)
        rows[label] = numbers
    table = pd.DataFrame(rows).T.rename_axis("network")
    return Table(
        name="reliability",
        title="Does a landmark's score or standard deviation say how far off it is?",
        columns=(
            Column("temperature", 2),
            Column("ECE", 3),
            Column("ECE after", 3),
            Column("std / error", 2),
            Column("std / error after", 2),
        ),
        rows=table,
        ours=f"{evaluated.name}, labelled boxes, seed {seed}; temperatures of {len(held_out)} training "
        "garments that no network has seen",
        theirs="",
        same_data=False,
        notes=(
            "Scores (heatmaps, SimCC): the share of near landmarks, those of similarity 1/2 or more, "
            "beside the score; `ECE` is the mean distance of the two over ten bins.",
            "Standard deviations (RLE): `std / error` is the root mean square of the predicted std"
            " over that of the real error; 1 is calibrated.",
        ),
        picture=lambda path: draw_curves(scores, stds, path),
    )


def of_scores(fitted: Predicted, shown: Predicted) -> tuple[dict[str, float], Curves]:
    """Fit the temperature of scores on some garments; the numbers and the curves of others."""
    temperature = calibration.fit_score_temperature(fitted.scores, fitted.near)
    tempered = calibration.temper_scores(shown.scores, temperature)
    curves = {
        BEFORE: calibration.score_bins(shown.scores, shown.near),
        AFTER: calibration.score_bins(tempered, shown.near),
    }
    before, after = (calibration.calibration_error(curves[k]) for k in (BEFORE, AFTER))
    none = float("nan")
    numbers = {"temperature": temperature, "ECE": before, "ECE after": after}
    return {**numbers, "std / error": none, "std / error after": none}, curves


def of_stds(fitted: Predicted, shown: Predicted) -> tuple[dict[str, float], Curves]:
    """Fit the temperature of deviations on some garments; the numbers and the curves of others."""
    temperature = calibration.fit_std_temperature(fitted.stds, fitted.distances)
    curves = {
        BEFORE: calibration.std_bins(shown.stds, shown.distances),
        AFTER: calibration.std_bins(temperature * shown.stds, shown.distances),
    }
    ratio = float(np.sqrt(np.mean(shown.stds**2) / np.mean(shown.distances**2)))
    none = float("nan")
    numbers = {"temperature": temperature, "ECE": none, "ECE after": none}
    return {**numbers, "std / error": ratio, "std / error after": temperature * ratio}, curves


def draw_curves(scores: dict[str, Curves], stds: dict[str, Curves], path: Path) -> None:
    """Draw one panel a network: measured over predicted, before and after, beside the diagonal."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {**scores, **stds}
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.4 * lines + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, (label, curves) in zip(axes, panels.items(), strict=False):
        both = [b for bins in curves.values() for b in bins]
        end = 1.0 if label in scores else 1.05 * max(max(b.predicted, b.measured) for b in both)
        axis.plot([0, end], [0, end], color="#718096", linewidth=0.8, linestyle="--")
        for name, bins in curves.items():
            _curve(axis, bins, name)
        axis.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        axis.set_title(label, fontsize=10)
        wording = ("score", "share of near landmarks")
        if label in stds:
            wording = ("predicted standard deviation, px", "real error, px (root mean square)")
        axis.set_xlabel(wording[0], fontsize=8)
        axis.set_ylabel(wording[1], fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(color="#e2e8f0", linewidth=0.6)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _curve(axis, bins: Sequence[Bin], name: str) -> None:  # noqa: ANN001 (matplotlib's Axes)
    x, y = [b.predicted for b in bins], [b.measured for b in bins]
    axis.plot(x, y, "o-", color=_COLORS[name], markersize=4, linewidth=1.2, label=name)
