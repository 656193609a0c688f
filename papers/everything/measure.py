"""Trains and measures one row with one seed; what is measured is kept and not made again.

Models lie where ``papers.landmarker_runs`` keeps them, each with the processor seconds of its
training beside it; results lie in ``.checkpoints/everything``.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from fashion_ops.errors.reading import read_object
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import landmarks_with
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.params import Params
from fashion_ops.steps import refine
from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.workspace import Workspace, write_whole
from papers import landmarker_runs as runs
from papers import landmarker_scores as scoring
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet
from papers.everything.techniques import Technique

AP, NE, TRAINING, PREDICTION = "AP", "NE", "training", "prediction"
SECONDS = "seconds.json"
TIMED, ROUNDS = 32, 3  # garments that are predicted to measure the cost, and how often
Models = tuple[LandmarkPipeline, Technique]


def measure(
    technique: Technique, base: Technique, seed: int, config: TableConfig, evaluated: EvaluationSet
) -> dict[str, float]:
    """AP and NE of a row for one seed, and its costs as multiples of the baseline's.

    Args:
        technique: the row.
        base: the baseline, whose cost is 1.
        seed: of the training runs.
        config: options of the table.
        evaluated: the images; garments are predicted in their labelled boxes.
    """
    params = technique.params(runs.with_epochs(config), seed)
    file = _results(config, technique, params, evaluated)
    if file.is_file():
        read = read_object(file).items()
        return {name: math.nan if value is None else float(value) for name, value in read}
    row, row_seconds = _train(technique, params, config)
    plain, plain_seconds = _train(base, base.params(runs.with_epochs(config), seed), config)
    predictions = _predict(row, technique, evaluated, evaluated.garments)
    values = {
        AP: scoring.landmark_scores(config, evaluated, predictions).stats["AP"],
        NE: scoring.position_scores(evaluated.garments, predictions)[0],
        TRAINING: row_seconds / plain_seconds,
        PREDICTION: _cost((row, technique), (plain, base), evaluated),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    known = {name: None if math.isnan(value) else value for name, value in values.items()}
    write_whole(file, json.dumps(known).encode())
    return values


def _results(
    config: TableConfig, technique: Technique, params: Params, evaluated: EvaluationSet
) -> Path:
    """The file of a row's results, named after all that decides them."""
    decisive = (repr(technique), repr(params.model_dump()), evaluated.name)
    garments = (config.ws.catalog / "garments.parquet").read_bytes()
    digest = hashlib.sha256("\n".join(decisive).encode() + garments).hexdigest()[:16]
    return config.ws.checkpoints / "everything" / f"{digest}.json"


def _train(technique: Technique, params: Params, config: TableConfig) -> tuple[LandmarkPipeline, float]:
    """The models that a row needs, trained if missing, and the processor seconds of all of them."""
    variant, device = technique.variant, config.device
    start, seconds = _timed(("universal", runs.UNIVERSAL), params, config, runs.universal)
    universal = scoring.load_landmarker(start.landmarker, device)
    tuned, refined = {}, {}
    for c in CATEGORIES if variant != "universal" else ():
        train = partial(_finetuned, category=c.name)
        ws, spent = _timed(("finetuned", _finetune_sections(c.name)), params, config, train)
        tuned[c.id], seconds = scoring.load_landmarker(ws.finetuned(c.name), device), seconds + spent
        if variant == "refined":
            train = partial(_refined, category=c.name)
            ws, spent = _timed(("refined", _refine_sections(c.name)), params, config, train)
            refined[c.id], seconds = Refiner.load(ws.refined(c.name), device), seconds + spent
    return LandmarkPipeline(universal, tuned, refined), seconds


def _timed(
    kind: tuple[str, tuple[str, ...]],
    params: Params,
    config: TableConfig,
    train: Callable[[Params, TableConfig], Workspace],
) -> tuple[Workspace, float]:
    """The workspace of a training, and the processor seconds that it took, now or earlier.

    They are unknown (NaN) of a model that something else trained, and of a resumed training.
    """
    expected = runs.workspace(kind[0], params, kind[1], config)
    folder = expected.root
    begun = any(folder.glob(f"models/**/{SPEC}")) or runs.is_interrupted(expected)
    started = time.process_time()
    ws = train(params, config)
    spent, record = time.process_time() - started, folder / SECONDS
    if not record.is_file():
        known = ws.root == folder and not begun
        write_whole(record, json.dumps({"seconds": spent if known else None}).encode())
    seconds = read_object(record)["seconds"]
    return ws, float("nan") if seconds is None else float(seconds)


def _finetune_sections(category: str) -> tuple[str, ...]:
    return (*runs.UNIVERSAL, "finetune", f"categories.{category}")


def _refine_sections(category: str) -> tuple[str, ...]:
    return (*_finetune_sections(category), "refine")


def _finetuned(params: Params, config: TableConfig, category: str) -> Workspace:
    """A workspace with a category's finetuned landmarker, trained if missing."""
    return Workspace(runs.finetuned(params, config, category).parents[2])


def _refined(params: Params, config: TableConfig, category: str) -> Workspace:
    """A workspace with a category's refiner, trained if missing."""
    ws = runs.workspace("refined", params, _refine_sections(category), config)
    if not runs.is_trained(ws.refined(category)):
        tuned = runs.finetuned(params, config, category)
        runs.link_universal(runs.universal(params, config), ws)
        if not ws.finetuned(category).exists():
            ws.finetuned(category).parent.mkdir(parents=True, exist_ok=True)
            ws.finetuned(category).symlink_to(tuned.resolve())
        refine.run(params, ws, category)
    return ws


def _predict(
    models: LandmarkPipeline, technique: Technique, evaluated: EvaluationSet, boxes: pd.DataFrame
) -> pd.DataFrame:
    """A row's landmarks in boxes, as ``schemas.PREDICTIONS``."""
    changes = dict(technique.decoding)

    def reads(model: LandmarkPredictor) -> LandmarkPredictor:
        prior = technique.prior and bool(model.priors)  # a rare category has none
        return model.with_decoding(**changes, decode_prior=prior)

    tuned = {c: reads(model) for c, model in models.finetuned.items()}
    pipeline = LandmarkPipeline(reads(models.universal), tuned, models.refined)
    variant, score = technique.variant, technique.score
    tables = landmarks_with(loaded([pipeline]), evaluated.catalog, {"boxes": boxes}, score, (variant,))
    return tables["boxes"][variant]


def _cost(row: Models, base: Models, evaluated: EvaluationSet) -> float:
    """Seconds that a row takes for some garments over those of the baseline, measured in turn."""
    some = evaluated.garments.iloc[:TIMED]
    spent: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for times, (models, technique) in zip(spent, (row, base), strict=True):
            started = time.process_time()
            _predict(models, technique, evaluated, some)
            times.append(time.process_time() - started)
    return min(spent[0]) / min(spent[1])
