"""PCLoss on DFA's first stage (a regression) and on GLE (heatmaps): trained without and with it."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentLandmarks
from fashion_ops.evaluation.normalized_error import ne
from fashion_ops.methods.alignment.crops import crop_options
from fashion_ops.methods.alignment.data import JOINT, Split, load_split
from fashion_ops.methods.alignment.dfa.training import train_stage
from fashion_ops.methods.alignment.gle.training import train_gle
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import DfaStage, GLEConfig, read_yaml
from fashion_ops.progress import track
from papers.alignment import (
    APART,
    OUTLIER,
    SEEDS,
    TOGETHER,
    VISIBLE,
    AlignmentData,
    distances,
    duplicates,
    load_fld,
    mean_shapes,
    outliers,
)
from papers.config import TableConfig
from papers.table import Column, Table

Train = Callable[[dict, int], np.ndarray]  # settings of PCLoss, seed -> (N, 8, 2) in image pixels
WEIGHTS = {"regression": 1.0, "heatmap": 0.5}
OFF = "without"
PLAIN = {"clusters": 0, "visibility_weight": 0.0, "per_type": False}  # stage 1 with positions only


def variants(weight: float) -> dict[str, dict]:
    """Settings of PCLoss by variant: off, in two parts of four landmarks, in one part of eight.

    k is the number of largest distances of a part that count.
    """
    on = {"position_constraint": weight}
    out: dict[str, dict] = {OFF: {}}
    for k in (1, 4):
        out[f"parts, k = {k}"] = {**on, "position_constraint_k": k}
    out["whole, k = 4"] = {**on, "position_constraint_k": 4, "position_constraint_parts": "whole"}
    return out


def run(config: TableConfig) -> Table:
    """Train each row with each seed on FLD's training garments and evaluate the test garments."""
    data = load_fld(config)
    gle = (
        GLEConfig() if config.training_config is None else read_yaml(GLEConfig, config.training_config)
    )
    dfa = config.params.dfa_stage.model_copy(update=PLAIN)
    if config.epochs is not None:
        gle, dfa = gle.with_epochs(config.epochs), dfa.with_epochs(config.epochs)
    options = crop_options(dfa)
    splits = [load_split(data.catalog, split, JOINT, options) for split in ("train", "test")]
    models: dict[str, Train] = {
        "regression": partial(_regress, config.training, splits[0], splits[1], dfa),
        "heatmap": partial(_heatmaps, config.training, data, gle),
    }
    models = {name: models[name] for name in config.chosen(models)}
    seeds = config.seeds or SEEDS
    runs: dict[str, list[tuple[float, ...]]] = {}
    work = [
        (model, variant, settings, seed)
        for model in models
        for seed in seeds
        for variant, settings in variants(WEIGHTS[model]).items()
    ]
    for model, variant, settings, seed in track(work, "pcloss"):
        predicted = models[model](settings, seed)
        runs.setdefault(f"{model}, {variant}", []).append(_scores(predicted, data.test))
    names = ["NE", "NE with occluded", "outliers, %", "duplicates, %"]
    plain = {name: _scores(p, data.test) for name, p in mean_shapes(data.train, data.test).items()}
    table = pd.DataFrame(
        [*plain.values(), *(np.mean(by_seed, axis=0) for by_seed in runs.values())],
        index=pd.Index([*plain, *runs], name="model"),
        columns=names,
    )
    return Table(
        name="models",
        title="PCLoss: a regression and a heatmap model, without it and with it",
        columns=(Column(names[0], 4), Column(names[1], 4), Column(names[2], 2), Column(names[3], 2)),
        rows=table,
        ours=f"{data.name}, mean of {len(seeds)} seeds",
        theirs="",
        same_data=False,
        notes=(
            "Regression: DFA's stage 1 with visibility and pseudo-labels off, weight "
            f"{WEIGHTS['regression']:g}; heatmap: GLE with k = {gle.modules} through integral "
            f"coordinates, weight {WEIGHTS['heatmap']:g}. `parts`: left and right landmarks "
            "separately; k: number of the largest distances that count.",
            "NE: mean of the landmarks' means, visible landmarks. Outliers: landmarks, visible or "
            f"occluded, more than {OUTLIER:g} of the box's longer side off; duplicates: pairs that lie "
            f"more than {APART:g} apart and are predicted within {TOGETHER:g}.",
            "The slides that describe PCLoss show their tables as images; no numbers to compare with.",
            *_against_without(runs),
        ),
    )


def _scores(predicted: np.ndarray, test: AlignmentLandmarks) -> tuple[float, ...]:
    """A row of the table, from positions (N, 8, 2) in image pixels."""
    distance, observed = distances(predicted, test), test.observed
    return (
        ne(distance, test.visibility == VISIBLE).macro,
        ne(distance, observed).macro,
        outliers(distance, observed),
        duplicates(predicted, test, observed),
    )


def _against_without(runs: dict[str, list[tuple[float, ...]]]) -> list[str]:
    """For each variant, the number of seeds with a lower NE and with fewer outliers than without."""
    notes = []
    for name, by_seed in runs.items():
        model, variant = name.split(", ", 1)
        first = runs[f"{model}, {OFF}"]
        if variant != OFF:
            pairs = list(zip(by_seed, first, strict=True))
            lower = sum(a[0] < b[0] for a, b in pairs)
            fewer = sum(a[2] < b[2] for a, b in pairs)
            notes.append(
                f"{name}: NE is lower in {lower} and the share of outliers in {fewer} of "
                f"{len(by_seed)} seeds than without."
            )
    return notes


def _regress(
    training: TrainerOptions, train: Split, test: Split, base: DfaStage, options: dict, seed: int
) -> np.ndarray:
    params = base.model_copy(update=options)
    stage = train_stage(params, 1, train.data, seed, options=training)
    return test.to_pixels(stage.predict(test.crops).positions)


def _heatmaps(
    training: TrainerOptions, data: AlignmentData, base: GLEConfig, options: dict, seed: int
) -> np.ndarray:
    settings = base.model_copy(update=options)
    model = train_gle(settings, data.train, data.catalog.image, seed=seed, options=training)
    return model.predict(data.catalog.image, data.test.image_id, data.test.box)[..., :2]
