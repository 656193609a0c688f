"""Step ``dfa_stage``: train one stage of DFA's cascade on FLD and predict all splits.

Stage 2 reads the predictions of stage 1, and stage 3 those of stage 2. The step writes, for each model
of the stage (one for all clothing types, or one per type): the model folder, ``estimates.safetensors``
(input of the next stage), ``predictions.parquet`` (input of ``fashion-ops score``) and
``clusters.png`` (Fig. 4); and for the whole stage ``report.md``. It evaluates on ``val``; where a data
set has no such split (LSP, In-shop), on the first one after ``train``.

Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver, ``work`` trains without access
to the workspace, ``publish`` writes the result on the driver.
"""

import logging
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentGarments
from fashion_ops.catalog.training_data import ImageChunks, open_images
from fashion_ops.distributed.payload import (
    Files,
    Result,
    TrainingJob,
    pack,
    pack_folder,
    publish_files,
    unpack,
    unpack_folder,
)
from fashion_ops.distributed.train_job import run_training
from fashion_ops.evaluation.visibility import score_visibility
from fashion_ops.inference.alignment_splits import (
    TRAIN,
    evaluated_split,
    open_catalog,
    score_positions,
    write_predictions,
)
from fashion_ops.methods.alignment.crops import crop_options
from fashion_ops.methods.alignment.data import Split, kinds_of, load_split, splits_of
from fashion_ops.methods.alignment.dfa.estimates import ESTIMATES, read_estimates, write_estimates
from fashion_ops.methods.alignment.dfa.inference import Estimate, TrainedStage
from fashion_ops.methods.alignment.dfa.routing import HARD
from fashion_ops.methods.alignment.dfa.training import PreviousStage, train_stage
from fashion_ops.methods.alignment.dfa.warm_start import SETTING, find_source
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.history import write_history
from fashion_ops.methods.parts.several_networks import Checkpoints
from fashion_ops.methods.parts.trainer import Group, OnEpoch, TrainerOptions
from fashion_ops.params import DfaStage, Params
from fashion_ops.progress import track
from fashion_ops.reports.alignment_clusters import draw_patterns
from fashion_ops.reports.alignment_stage import StageReport, write_report
from fashion_ops.workspace import Workspace

log = logging.getLogger(__name__)

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True, kw_only=True)
class StageJob(TrainingJob):
    """The training of one stage.

    Attributes:
        config: of all three stages.
        number: of the stage, 1 to 3.
        garments: ``garments.parquet`` of the catalog.
        catalog: its folder, for messages.
        previous: files of the stage before, by kind (see ``kinds_of``); empty for stage 1.
        start: files of the models that this one starts from, by kind, see ``dfa.warm_start``.
    """

    config: DfaStage
    number: int
    garments: pd.DataFrame
    catalog: Path
    previous: dict[str, Files]
    start: dict[str, Files]

    @property
    def samples(self) -> int:
        """Number of training garments."""
        return int((self.garments["split"] == TRAIN).sum())

    @property
    def epochs(self) -> None:
        """They depend on the garments of each network, see ``scale_epochs``."""


def prepare(params: Params, ws: Workspace, stage: str) -> StageJob:
    """Collect the inputs of ``work`` for stage ``1``, ``2`` or ``3``; images are read later.

    Raises:
        FileNotFoundError: the stage before has not been trained yet, or not for a kind of garment; or
            ``start_from`` names no model and no file.
        ValueError: ``start_from`` has models, but none for a kind of garment.
    """
    config, number = params.dfa_stage, int(stage)
    catalog = open_catalog(ws, config.source, "dfa_stage.source")
    kinds = kinds_of(catalog, config.per_type)
    previous, start = {}, {}
    if number > 1:
        previous = {kind: _pack_previous(ws.dfa(str(number - 1)) / kind, number - 1) for kind in kinds}
    if config.start_from is not None:
        inherits = number > 1 and config.inherit
        found = {
            kind: find_source(ws.root / config.start_from, number, kind, inherits) for kind in kinds
        }
        start = {kind: pack(source) for kind, source in found.items() if source is not None}
    return StageJob(
        config=config,
        number=number,
        seed=params.seed,
        garments=catalog.garments,
        catalog=catalog.folder,
        previous=previous,
        start=start,
        images=ImageChunks(catalog, catalog.garments["image_id"].to_numpy()),
        devices=params.distributed.devices,
        **TrainingJob.settings(params.distributed),
    )


def work(
    job: StageJob,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    group: Group | None = None,
) -> Result:
    """Train the stage and predict all splits; nothing but ``checkpoint`` is written.

    Args:
        job: from ``prepare``.
        checkpoint: file that training resumes from if it exists, and that is replaced after an epoch
            if it is time; None keeps no checkpoint.
        on_epoch: called with (epochs done by all networks together, metrics of the epoch).
        group: the processes that share the training; None trains in this one, or spawns them.

    Returns:
        The files of the folder of the stage; as metrics those of ``run``.
    """
    config, stage = job.config, f"dfa_stage {job.number}"
    history: list[dict[str, float]] = []
    reports: list[StageReport] = []
    metrics: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        scratch, folder = Path(name), Path(name, "stage")
        folder.mkdir()
        read_image = open_images(job.images, scratch)
        catalog = AlignmentGarments(job.garments, read_image, job.catalog)
        checkpoints = Checkpoints(checkpoint, scratch / "checkpoints", on_epoch)
        for kind in track(kinds_of(catalog, config.per_type), f"{stage}, models"):
            model_folder = folder / kind
            model_folder.mkdir()
            options = job.options(checkpoints.path(kind), on_epoch, group)
            options = replace(options, on_epoch=checkpoints.report)
            trained, report = _train_kind(job, catalog, kind, model_folder, options)
            history += trained.history
            reports.append(report)
            for started in trained.starts:
                log.warning(
                    "%s, %s: %s", stage, kind, started.in_words(SETTING, str(config.start_from))
                )
            taken = {
                "tensors_taken": sum(s.taken for s in trained.starts),
                "tensors_fresh": sum(len(s.fresh) for s in trained.starts),
            }
            values = report.metrics | trained.history[-1] | (taken if trained.starts else {})
            for key, value in values.items():
                metrics.setdefault(key, []).append(value)
        write_history(folder, history)
        data = f"{config.source}, split {evaluated_split(catalog)}"
        write_report(folder, f"DFA, stage {job.number}", data, reports)
        files = pack_folder(folder)
    return Result(files, {name: float(np.mean(values)) for name, values in metrics.items()})


def _train_kind(
    job: StageJob, catalog: AlignmentCatalog, kind: str, folder: Path, options: TrainerOptions
) -> tuple[TrainedStage, StageReport]:
    """Train one model of a stage, and write it and its predictions into the existing ``folder``.

    Returns:
        The model, and the scores of its predictions for the evaluated split.

    Raises:
        ValueError: the predictions of the stage before are of other garments.
    """
    config, number = job.config, job.number
    names = splits_of(catalog)
    splits = {name: load_split(catalog, name, kind, crop_options(config)) for name in names}
    stage_before, known = _read_previous(job, kind, splits)
    previous = None if stage_before is None else PreviousStage(stage_before, known[TRAIN])
    train, evaluated = splits[TRAIN], evaluated_split(catalog)
    with tempfile.TemporaryDirectory() as scratch:
        start = unpack(job.start.get(kind), Path(scratch))
        trained = train_stage(
            config, number, train.data, job.seed, previous, options=options, start=start
        )
    estimates = {name: trained.predict(split.crops, known.get(name)) for name, split in splits.items()}
    trained.save(folder)
    write_estimates(folder / ESTIMATES, estimates)
    named = {name: (split.rows, _landmarks(split, estimates[name])) for name, split in splits.items()}
    write_predictions(folder / PREDICTIONS, named)
    if trained.labels is not None:
        positions = known[TRAIN].positions if known else None
        draw_patterns(folder / "clusters.png", number, trained.labels, train, positions)
    scores = _evaluate(config, train, splits[evaluated], estimates[evaluated])
    return trained, StageReport(kind, len(train), len(splits[evaluated]), scores)


def publish(ws: Workspace, stage: str, result: Result) -> dict[str, float]:
    """Write the stage to ``ws.dfa(stage)``, as a whole or not at all; returns its metrics."""
    publish_files(ws.dfa(stage), result.files)
    return result.metrics


def run(params: Params, ws: Workspace, stage: str) -> dict[str, float]:
    """Train one stage and write ``ws.dfa(stage)``.

    Args:
        params: the parameters; ``dfa_stage`` configures all three stages.
        ws: the workspace.
        stage: ``1``, ``2`` or ``3``.

    Returns:
        Means over the stage's models, see ``_evaluate``; and the losses of the last epoch. With
        ``start_from`` also tensors_taken and tensors_fresh, as ``train_detector``.

    Raises:
        FileNotFoundError: there is no such catalog, or the stage before was not trained yet.
        ValueError: the catalog has no garments to train on or to evaluate, or the stage before was
            trained with other settings.
    """
    return run_training(
        f"dfa_stage {stage}",
        prepare(params, ws, stage),
        work,
        partial(publish, ws, stage),
        params.distributed,
        ws,
    )


def _pack_previous(folder: Path, number: int) -> Files:
    """The files of one model of the trained stage ``number``.

    Raises:
        FileNotFoundError: the stage has not been trained yet, or not for this kind of garment.
    """
    if not (folder / ESTIMATES).is_file():
        raise FileNotFoundError(
            f"{folder}: no stage {number} here; `fashion-ops dfa_stage --stage {number}` makes it"
        )
    return pack_folder(folder)


def _read_previous(
    job: StageJob, kind: str, splits: dict[str, Split]
) -> tuple[TrainedStage | None, dict[str, Estimate]]:
    """Read one model of the stage before, on the device of the job.

    Args:
        job: its ``previous`` holds the files of the model.
        kind: which model, see ``kinds_of``.
        splits: the garments by split, which its predictions must be of.

    Returns:
        The trained stage and its predictions by split; None and an empty dict for stage 1.

    Raises:
        ValueError: its predictions are of other garments.
    """
    if kind not in job.previous:
        return None, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack_folder(job.previous[kind], folder)
        known = read_estimates(folder / ESTIMATES)
        before = {name: len(estimate.positions) for name, estimate in known.items()}
        here = {name: len(split) for name, split in splits.items()}
        if before != here:
            raise ValueError(
                f"stage {job.number - 1}, {kind}/{ESTIMATES}: predictions of {before} garments, the "
                f"catalog has {here}; run `fashion-ops dfa_stage --stage {job.number - 1}` again"
            )
        return TrainedStage.load(folder, select_device(job.device)), known


def _landmarks(split: Split, estimate: Estimate) -> np.ndarray:
    """Predicted landmarks (N, n, 3): x, y in pixels of the images, and P(visible)."""
    return np.concatenate([split.to_pixels(estimate.positions), estimate.visibility[..., :1]], 2)


def _evaluate(config: DfaStage, train: Split, evaluated: Split, estimate: Estimate) -> dict[str, float]:
    """Evaluate the predictions of one model.

    Args:
        config: of the stage.
        train: the training garments, for the mean shapes.
        evaluated: the garments to evaluate on.
        estimate: predictions for them.

    Returns:
        Those of ``score_positions``; the scores of visibility (``evaluation.visibility``); ``hard``,
        the share of garments routed to the hard network, in stage 3 only.
    """
    rows = evaluated.rows
    xy = evaluated.to_pixels(estimate.positions)
    metrics = score_positions(train.rows, rows, xy, config.frame, config.padding)
    states = estimate.visibility.argmax(-1)
    metrics |= score_visibility(states, rows.state, rows.present).metrics()
    if (estimate.branch >= 0).any():
        metrics["hard"] = float((estimate.branch == HARD).mean())
    return metrics
