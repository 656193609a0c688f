"""Table ``everything``: each technique of the papers switched on by itself, from one common baseline.

Three seeds a row; AP and NE in labelled boxes, so that only the landmarks differ. The gain of a row is
the mean of its differences from the baseline of the same seed.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.progress import track
from papers import landmarker_runs as runs
from papers.alignment import SEEDS, half_interval
from papers.config import TableConfig
from papers.evaluation_set import load_evaluation_set
from papers.everything.measure import AP, NE, PREDICTION, TRAINING, measure
from papers.everything.techniques import ALL, BASE, TECHNIQUES
from papers.table import Column, Table

GAIN, INTERVAL = "gain", "± 95 %"
PAPER, TRAINING_COST, PREDICTION_COST = "of", "training x", "prediction x"
_COLORS = {"A&F": "#2b6cb0", "DeepMark++": "#c05621", "DFA": "#2f855a", "PCLoss": "#6b46c1"}
_OTHER = "#4a5568"
Runs = Mapping[str, list[dict[str, float]]]  # row -> what each seed measured


def run(config: TableConfig) -> Table:
    """Train what is missing and measure each row with each seed; an interrupted run goes on.

    Raises:
        ValueError: ``--rows`` names an unknown row.
    """
    evaluated = load_evaluation_set(config)
    chosen = [BASE, *(name for name in config.chosen(TECHNIQUES) if name != BASE)]
    seeds = config.seeds or SEEDS
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    for name, seed in track([(name, seed) for seed in seeds for name in chosen], "everything"):
        row = measure(TECHNIQUES[name], TECHNIQUES[BASE], seed, config, evaluated)
        measured[name].append(row)
    training = runs.with_epochs(config).train_landmarker
    return Table(
        name="everything",
        title="Each technique by itself on one baseline",
        columns=(
            Column(AP),
            Column(GAIN),
            Column(INTERVAL, drawn=False),
            Column(NE, 4),
            Column(TRAINING_COST, 2),
            Column(PREDICTION_COST, 2),
        ),
        rows=table_of(measured).rename_axis("technique"),
        ours=f"{evaluated.name}, their own boxes; {training.backbone} {training.crop[0]}x"
        f"{training.crop[1]}, {training.epochs} epochs, seeds {', '.join(map(str, seeds))}",
        theirs="",
        same_data=False,
        notes=(
            f"`{GAIN}`: mean difference of AP from the baseline of the same seed; `{INTERVAL}`: half "
            "of the 95 % interval of this mean over the seeds (Student's t). A gain whose interval "
            "contains zero is not shown to be one.",
            "NE: mean distance of the labelled landmarks over the box's longer side.",
            f"`{TRAINING_COST}` and `{PREDICTION_COST}`: processor time of all networks of the row "
            "over the baseline's; prediction measured in turn on the same garments. The cost of a "
            "training that was interrupted is not known.",
            f"`{ALL}`: 81 channels, flip in training and at test, rotation, pseudo-labels, DARK, own "
            "scores, finetuned + PoseFix, shape prior.",
            "`ViT backbone`: ViTPose's simple head on `vit_w192_small`, at a learning rate of its own.",
            *_of_papers(chosen),
        ),
    )


def table_of(measured: Runs) -> pd.DataFrame:
    """The columns of the table, from what each seed measured."""
    base = [row[AP] for row in measured[BASE]]
    lines = {}
    for name, rows in measured.items():
        gains = [row[AP] - plain for row, plain in zip(rows, base, strict=True)]
        lines[name] = {
            AP: np.mean([row[AP] for row in rows]),
            GAIN: np.mean(gains) if name != BASE else np.nan,
            INTERVAL: half_interval(gains) if name != BASE else np.nan,
            NE: np.mean([row[NE] for row in rows]),
            TRAINING_COST: np.mean([row[TRAINING] for row in rows]),
            PREDICTION_COST: np.mean([row[PREDICTION] for row in rows]),
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _of_papers(chosen: list[str]) -> list[str]:
    """A sentence for each paper: which rows are its own."""
    by_paper: dict[str, list[str]] = {}
    for name in chosen:
        if name not in (BASE, ALL):
            by_paper.setdefault(TECHNIQUES[name].paper, []).append(name)
    return [f"{paper}: {', '.join(names)}." for paper, names in by_paper.items()]


def draw(table: Table, path: Path) -> None:
    """Draw the gain of each technique with its interval, the largest first, a colour a paper."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = table.rows.drop(index=BASE).astype(float).sort_values(GAIN, ascending=False)
    figure = Figure(figsize=(8, 1.4 + 0.3 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (name, row) in enumerate(rows.iterrows()):
        paper = TECHNIQUES[str(name)].paper
        color = _OTHER if str(name) == ALL else _COLORS.get(paper, "#718096")
        known = np.isfinite(row[INTERVAL])
        certain = known and abs(row[GAIN]) > row[INTERVAL]
        style = {"color": color, "alpha": 0.9 if certain else 0.35, "height": 0.62}
        axes.barh(place, row[GAIN], **style)
        if known:
            axes.errorbar(row[GAIN], place, xerr=row[INTERVAL], color="#1a202c", lw=1, capsize=2)
        edge = max(0.0, row[GAIN] + (row[INTERVAL] if known else 0.0))
        cost = f"{row[TRAINING_COST]:.1f} / {row[PREDICTION_COST]:.1f}"
        axes.annotate(
            f"{row[GAIN]:+.3f}   ({cost})", (edge, place), (4, 0), textcoords="offset points",
            va="center", fontsize=7.5, color="#2d3748",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [str(name) for name in rows.index])
    axes.invert_yaxis()
    axes.axvline(0, color="#1a202c", lw=0.8)
    axes.margins(x=0.22)
    axes.set_xlabel(
        f"change of AP from the baseline ({table.rows.loc[BASE, AP]:.3f}), and cost of training / "
        "prediction as a multiple of it"
    )
    axes.set_title(table.title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [axes.barh([0], [0], color=color) for color in (*_COLORS.values(), "#718096")]
    labels = [*_COLORS, "others; pale: the interval contains zero"]
    axes.legend(handles, labels, fontsize=8, frameon=False, loc="lower right")
    figure.savefig(path, dpi=110, metadata={"Software": None})
