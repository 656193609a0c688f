"""PCLoss on DFA's first stage (a regression) and on GLE (heatmaps), trained without it and with it."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from fashion_ops.evaluation.normalized_error import ne
from fashion_ops.methods.alignment.dfa.training import train_stage
from fashion_ops.methods.alignment.gle.config import GLESettings
from fashion_ops.methods.alignment.gle.training import train_gle
from fashion_ops.methods.alignment.samples import JOINT, Split, load_split
from fashion_ops.params import DfaStage, read_yaml
from fashion_ops.progress import track
from papers.alignment import (
    APART,
    OUTLIER,
    SEEDS,
    TOGETHER,
    VISIBLE,
    Aligned,
    distances,
    duplicates,
    load_fld,
    outliers,
)
from papers.config import TableConfig
from papers.table import Column, Table

Train = Callable[[dict, int], np.ndarray]  # settings of PCLoss, seed -> (N, 8, 2) in image pixels
WEIGHTS = {"regression": 1.0, "heatmap": 0.5}
OFF = "without"
PLAIN = {"clusters": 0, "visibility_weight": 0.0, "per_type": False}  # of stage 1: positions only


def ways(weight: float) -> dict[str, dict]:
    """Without it; in two parts with k of their four landmarks; in one part, k as many of eight."""
    on = {"position_constraint": weight}
    out: dict[str, dict] = {OFF: {}}
    for k in (1, 4):
        out[f"parts, k = {k}"] = {**on, "position_constraint_k": k}
    out["whole, k = 4"] = {**on, "position_constraint_k": 4, "position_constraint_parts": "whole"}
    return out


def run(config: TableConfig) -> Table:
    """Train every row with every seed on FLD's training garments and judge the test garments."""
    data = load_fld(config)
    gle = GLESettings() if config.training_config is None else read_yaml(GLESettings, config.training_config)
    dfa = config.params.dfa_stage.model_copy(update=PLAIN)
    if config.epochs is not None:
        gle = gle.model_copy(update={"epochs": config.epochs})
        dfa = dfa.model_copy(update={"epochs": config.epochs})
    splits = [
        load_split(data.catalog, split, JOINT, dfa.input_size, dfa.frame) for split in ("train", "test")
    ]
    models: dict[str, Train] = {
        "regression": partial(_regress, splits[0], splits[1], dfa),
        "heatmap": partial(_heatmaps, data, gle),
    }
    seeds = config.seeds or SEEDS
    seen = data.test.visibility == VISIBLE
    observed = data.test.observed
    runs: dict[str, list[tuple[float, ...]]] = {}
    work = [
        (model, way, options, seed)
        for model in models
        for seed in seeds
        for way, options in ways(WEIGHTS[model]).items()
    ]
    for model, way, options, seed in track(work, "ablate pcloss"):
        found = models[model](options, seed)
        far = distances(found, data.test)
        numbers = (
            ne(far, seen).macro,
            ne(far, observed).macro,
            outliers(far, observed),
            duplicates(found, data.test, observed),
        )
        runs.setdefault(f"{model}, {way}", []).append(numbers)
    names = ["NE", "NE with occluded", "outliers, %", "duplicates, %"]
    table = pd.DataFrame(
        [np.mean(own, axis=0) for own in runs.values()],
        index=pd.Index(runs, name="model"),
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
            f"coordinates, weight {WEIGHTS['heatmap']:g}. `parts`: left and right landmarks by "
            "themselves; k: how many of the largest count.",
            "NE: mean of the landmarks' means, visible landmarks. Outliers: landmarks, visible or "
            f"occluded, further off than {OUTLIER:g} of the box's longer side; duplicates: pairs that "
            f"lie more than {APART:g} apart and are found within {TOGETHER:g}.",
            "The slides that describe PCLoss show their tables as images: no numbers of theirs.",
            *_against_without(runs),
        ),
    )


def _against_without(runs: dict[str, list[tuple[float, ...]]]) -> list[str]:
    """In how many seeds NE and the share of outliers fall against the same model without."""
    notes = []
    for name, own in runs.items():
        model, way = name.split(", ", 1)
        first = runs[f"{model}, {OFF}"]
        if way != OFF:
            pairs = list(zip(own, first, strict=True))
            lower = sum(a[0] < b[0] for a, b in pairs)
            fewer = sum(a[2] < b[2] for a, b in pairs)
            notes.append(
                f"{name}: NE is lower in {lower} and the share of outliers in {fewer} of {len(own)} "
                "seeds than without."
            )
    return notes


def _regress(train: Split, test: Split, base: DfaStage, options: dict, seed: int) -> np.ndarray:
    params = base.model_copy(update=options)
    stage = train_stage(1, params, train.crops, train.shapes, train.points.mirror, seed)
    return test.to_pixels(stage.predict(test.crops).positions)


def _heatmaps(data: Aligned, base: GLESettings, options: dict, seed: int) -> np.ndarray:
    settings = base.model_copy(update=options)
    model = train_gle(data.train, data.catalog.image, settings, seed=seed)
    return model.predict(data.catalog.image, data.test.image_id, data.test.box)[..., :2]
