"""PCLoss on the heatmaps of the universal landmarker: trained without it and with two weights.

The slides use PCLoss on heatmaps through their mean position. The landmarker's densities are
sharpened first (``methods.parts.position_constraint``), so that a perfect network is not charged.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fashion_ops.params import Params
from fashion_ops.progress import track
from papers import landmarker_runs as runs
from papers import landmarker_scores as scoring
from papers.alignment import APART, OUTLIER, SEEDS, TOGETHER, half_interval
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet, load_evaluation_set
from papers.table import Column, Table

WITHOUT = "without"
VARIANTS: dict[str, float] = {WITHOUT: 0.0, "weight 1": 1.0, "weight 10": 10.0}
NAMES = ("AP", "NE", "outliers, %", "duplicates, %")
LOWER = NAMES[1:]  # better where lower


def run(config: TableConfig) -> Table:
    """Train what is missing, three seeds a row; evaluate on the labelled boxes.

    Raises:
        ValueError: ``--rows`` names an unknown row.
    """
    evaluated, params = load_evaluation_set(config), runs.with_epochs(config)
    chosen, seeds = config.chosen(VARIANTS), config.seeds or SEEDS
    scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in chosen}
    work = [(name, seed) for seed in seeds for name in chosen]
    for name, seed in track(work, "pcloss"):
        scores[name].append(_scores(variant(params, VARIANTS[name], seed), config, evaluated))
    table = pd.DataFrame(
        [np.mean(rows, axis=0) for rows in scores.values()], index=list(chosen), columns=list(NAMES)
    )
    table["AP ±"] = [half_interval([row[0] for row in rows]) for rows in scores.values()]
    training = params.train_landmarker
    return Table(
        name="landmarker",
        title="PCLoss on the landmarker's heatmaps",
        columns=(
            *(Column(NAMES[0]), Column("AP ±", drawn=False), Column(NAMES[1], 4)),
            *(Column(name, 2) for name in NAMES[2:]),
        ),
        rows=table.rename_axis("landmarker"),
        ours=f"{evaluated.name}, their own boxes; {training.backbone} {training.crop[0]}x"
        f"{training.crop[1]}, {training.epochs} epochs, seeds {', '.join(map(str, seeds))}",
        theirs="",
        same_data=False,
        notes=(
            f"k = {training.position_constraint_k}, left and right landmarks separately; loss "
            f"{training.loss}, decoded by {training.decode}. AP ±: half of the 95 % interval "
            "(Student's t).",
            "NE: mean distance of the labelled landmarks over the box's longer side. Outliers: more "
            f"than {OUTLIER:g} of it off; duplicates: pairs that lie more than {APART:g} apart and are "
            f"predicted within {TOGETHER:g}.",
            *_against_without(scores),
        ),
    )


def variant(params: Params, weight: float, seed: int) -> Params:
    """The parameters that a row's landmarker is trained with."""
    return runs.with_changes(params, seed=seed, train_landmarker={"position_constraint": weight})


def _scores(params: Params, config: TableConfig, evaluated: EvaluationSet) -> tuple[float, ...]:
    """A row of the table for one seed."""
    model = scoring.load_landmarker(runs.universal(params, config).landmarker, config.device)
    tables = scoring.predict_landmarks(model, {}, evaluated, evaluated.garments, "PCLoss")
    predictions = tables["universal"]
    ap = scoring.landmark_scores(config, evaluated, predictions).stats["AP"]
    return (ap, *scoring.position_scores(evaluated.garments, predictions))


def _against_without(scores: Mapping[str, list[tuple[float, ...]]]) -> list[str]:
    """For each weight, the number of seeds in which each score is better than without."""
    notes = []
    for name, rows in scores.items():
        if name == WITHOUT or WITHOUT not in scores:
            continue
        pairs = list(zip(rows, scores[WITHOUT], strict=True))
        better = [
            f"{column} in {sum((a[k] < b[k]) if column in LOWER else (a[k] > b[k]) for a, b in pairs)}"
            for k, column in enumerate(NAMES)
        ]
        notes.append(f"{name}: better than without: {', '.join(better)} of {len(pairs)} seeds.")
    return notes
