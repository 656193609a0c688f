"""Table ``networks``: HRNet and ViT with heatmaps, SimCC and RLE, each trained for equal time.

No ablation of these heads on garments is published; there is no paper's number beside ours.
"""

import time
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.catalog.training_data import TrainingGarments, load_garments, used_grouping
from fashion_ops.evaluation.keypoint_accuracy import MEAN, keypoint_accuracy
from fashion_ops.methods.describe import describe_landmarker
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.progress import track
from papers.alignment import half_interval
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet, load_evaluation_set
from papers.heads.predicted import Predicted, as_table, predict, rank_correlation
from papers.heads.runs import SEEDS, Comparison
from papers.table import Column, Table

AP, HALF, CORRELATION, STD = "AP", "± AP", "rank corr.", "std corr."
BASELINE, NEW = "HRNet + heatmaps", "ViT + SimCC"


def run(config: TableConfig) -> Table:
    """Train what is missing and evaluate every row on the labelled boxes of the evaluation split."""
    evaluated = load_evaluation_set(config)
    comparison = Comparison.open(config, evaluated)
    rows, garments = validation_garments(config, evaluated)
    seeds = config.seeds or SEEDS
    by_seed: dict[str, list[dict[str, float]]] = {label: [] for label in comparison.rows}
    work = [(label, seed) for seed in seeds for label in comparison.rows]
    for label, seed in track(work, "heads"):
        folder = comparison.trained(label, comparison.rows[label], seed)
        model = LandmarkPredictor.load(folder, config.device)
        start = time.process_time()
        predicted = predict(model, evaluated.catalog, garments)
        seconds = time.process_time() - start
        numbers = accuracy(evaluated, rows, predicted)
        by_seed[label].append({**numbers, "ms a garment": 1e3 * seconds / len(garments)})
    table = pd.DataFrame(
        {label: _row(comparison, label, runs) for label, runs in by_seed.items()}
    ).T.rename_axis("network")
    settings, first = comparison.settings, next(iter(comparison.rows.values())).training
    clock = "of the processor" if config.device.type == "cpu" else "of the clock"
    return Table(
        name="networks",
        title="Today's landmarkers at equal time of training",
        columns=(
            Column(AP),
            Column(HALF, drawn=False),
            Column("PCK@0.2"),
            Column("EPE, px", 2),
            Column(CORRELATION),
            Column(STD),
            Column("steps", 0, drawn=False),
            Column("M parameters", 2, zero=True),
            Column("M MACs", 0, zero=True),
            Column("ms a garment", 1, zero=True),
        ),
        rows=table,
        ours=f"{evaluated.name}, labelled boxes, mean of {len(seeds)} seeds; {settings.seconds:g} s "
        f"{clock} each on {len(comparison.garments)} garments, {first.crop[0]}x{first.crop[1]} crops",
        theirs="",
        same_data=False,
        notes=(
            f"`{HALF}`: half of the 95 % interval of the mean over seeds, by Student's t.",
            "PCK@0.2 and EPE are those of `fashion-ops score`, means over the categories.",
            f"`{CORRELATION}`: Spearman's, between a landmark's error in pixels and its predicted "
            f"standard deviation (RLE), or 1 less its score. `{STD}`: Pearson's, between the error and "
            "the standard deviation.",
            "`ms a garment`: of the processor, with the flip test; reads and cuts the image, too.",
            *_duel(by_seed),
        ),
    )


def validation_garments(
    config: TableConfig, evaluated: EvaluationSet
) -> tuple[pd.DataFrame, TrainingGarments]:
    """The labelled garments that are evaluated, in the order of their images: rows and arrays."""
    rows, garments = load_garments(config.ws, config.params.evaluate.split)
    kept = np.flatnonzero(np.isin(garments.image_id, evaluated.images["image_id"]))
    order = kept[np.argsort(garments.image_id[kept], kind="stable")]
    return rows.iloc[order], garments.take(order)


def accuracy(evaluated: EvaluationSet, rows: pd.DataFrame, predicted: Predicted) -> dict[str, float]:
    """The columns of one trained network that say how right it is, and whether it knows it."""
    predictions = as_table(rows, predicted)
    mean: Any = keypoint_accuracy(rows, predictions).loc[MEAN]
    std = float("nan")
    if not np.isnan(predicted.stds).any():
        std = float(np.corrcoef(predicted.stds, predicted.distances)[0, 1])
    return {
        AP: evaluated.landmarks(predictions, max_detections=20).stats["AP"],
        "PCK@0.2": float(mean["PCK"]),
        "EPE, px": float(mean["EPE"]),
        CORRELATION: rank_correlation(predicted),
        STD: std,
    }


def _row(comparison: Comparison, label: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """A line of the table: means over the seeds, and what the network costs."""
    row = comparison.rows[label]
    training = row.training
    grouping = used_grouping(comparison.config.ws).name
    cost = describe_landmarker(training.backbone, grouping, training.crop, head=training.head)
    learned = cost["parameters"] - cost["training_only"]["parameters"]
    return {
        **{str(k): v for k, v in pd.DataFrame(runs).mean().items()},
        HALF: half_interval([r[AP] for r in runs]),
        "steps": float(comparison.steps(label, row)),
        "M parameters": learned / 1e6,
        "M MACs": cost["macs"] / 1e6,
    }


def _duel(by_seed: dict[str, list[dict[str, float]]]) -> tuple[str, ...]:
    """Say for the new network and the baseline, seed by seed, what AP they have."""
    if not {BASELINE, NEW} <= set(by_seed):
        return ()
    pairs = [(n[AP], b[AP]) for n, b in zip(by_seed[NEW], by_seed[BASELINE], strict=True)]
    numbers = ", ".join(f"{a:.3f} and {b:.3f}" for a, b in pairs)
    ahead = sum(a > b for a, b in pairs)
    return (f"`{NEW}` has a higher AP than `{BASELINE}` in {ahead} of {len(pairs)} seeds ({numbers}).",)
