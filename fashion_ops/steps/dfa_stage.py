"""Step ``dfa_stage``: train one stage of DFA's cascade on FLD and predict all splits.

Stage 2 reads the predictions of stage 1, and stage 3 those of stage 2. The step writes, for each model
of the stage (one for all clothing types, or one per type): the model folder, ``estimates.safetensors``
(input of the next stage), ``predictions.parquet`` (input of ``fashion-ops score``) and
``clusters.png`` (Fig. 4); and for the whole stage ``report.md``. It evaluates on ``val``; where a data
set has no such split (LSP, In-shop), on the first one after ``train``.

Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver, ``work`` trains without access
to the workspace, ``publish`` writes the result on the driver.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentGarments
from fashion_ops.catalog.alignment.schemas import PREDICTIONS
from fashion_ops.catalog.training_data import ImageChunks, open_images
from fashion_ops.distributed.payload import (
    Files,
    Result,
    TrainingJob,
    pack_folder,
    publish_files,
    unpack_folder,
)
from fashion_ops.distributed.train_job import run_training
from fashion_ops.evaluation.mean_shape import mean_points, mean_points_by_kind
from fashion_ops.evaluation.normalized_error import counted, errors, ne
from fashion_ops.evaluation.visibility import score_visibility
from fashion_ops.methods.alignment.crops import crop_options
from fashion_ops.methods.alignment.data import Split, kinds_of, load_split, splits_of
from fashion_ops.methods.alignment.dfa.estimates import ESTIMATES, read_estimates, write_estimates
from fashion_ops.methods.alignment.dfa.inference import Estimate, TrainedStage
from fashion_ops.methods.alignment.dfa.routing import HARD
from fashion_ops.methods.alignment.dfa.training import PreviousStage, train_stage
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.history import write_history
from fashion_ops.methods.parts.several_networks import Checkpoints
from fashion_ops.methods.parts.trainer import Group, OnEpoch, TrainerOptions
from fashion_ops.params import DfaStage, Params
from fashion_ops.progress import track
from fashion_ops.reports.alignment_clusters import draw_patterns
from fashion_ops.reports.alignment_stage import StageReport, write_report
from fashion_ops.workspace import Workspace

TRAIN = "train"


@dataclass(frozen=True, kw_only=True)
class StageJob(TrainingJob):
    """The training of one stage.

    Attributes:
        config: of all three stages.
        number: of the stage, 1 to 3.
        garments: ``garments.parquet`` of the catalog.
        catalog: its folder, for messages.
        previous: files of the stage before, by kind (see ``kinds_of``); empty for stage 1.
    """

    config: DfaStage
    number: int
    garments: pd.DataFrame
    catalog: Path
    previous: dict[str, Files]

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
        FileNotFoundError: the stage before has not been trained yet, or not for a kind of garment.
    """
    config, number = params.dfa_stage, int(stage)
    catalog = _open(ws, config.source)
    previous = {}
    if number > 1:
        kinds = kinds_of(catalog, config.per_type)
        previous = {kind: _pack_previous(ws.dfa(str(number - 1)) / kind, number - 1) for kind in kinds}
    return StageJob(
        config=config,
        number=number,
        seed=params.seed,
        garments=catalog.garments,
        catalog=catalog.folder,
        previous=previous,
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
            for key, value in (report.metrics | trained.history[-1]).items():
                metrics.setdefault(key, []).append(value)
        write_history(folder, history)
        write_report(folder, job.number, f"{config.source}, split {_evaluated(catalog)}", reports)
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
    train, evaluated = splits[TRAIN], _evaluated(catalog)
    trained = train_stage(config, number, train.data, job.seed, previous, options=options)
    estimates = {name: trained.predict(split.crops, known.get(name)) for name, split in splits.items()}
    trained.save(folder)
    write_estimates(folder / ESTIMATES, estimates)
    _write_predictions(folder / "predictions.parquet", splits, estimates)
    if trained.labels is not None:
        positions = known[TRAIN].positions if known else None
        draw_patterns(folder / "clusters.png", number, trained.labels, train, positions)
    scores = _evaluate(train, splits[evaluated], estimates[evaluated])
    return trained, StageReport(kind, len(train), len(splits[evaluated]), scores)


def _evaluated(catalog: AlignmentCatalog) -> str:
    """The split that a stage is evaluated on: the first one that it is not trained on."""
    return next(name for name in splits_of(catalog) if name != TRAIN)


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
        Means over the stage's models, see ``_evaluate``; and the losses of the last epoch.

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


def _open(ws: Workspace, source: str) -> AlignmentCatalog:
    """Open the catalog of a source that has garments to train on and others to evaluate.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
        ValueError: it has no training split, or no other one.
    """
    folder = ws.alignment_catalog / source
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(
            f"{folder}: no catalog here; `fashion-ops ingest_alignment` makes one if "
            f"ingest_alignment.sources names {source}"
        )
    catalog = AlignmentCatalog(folder)
    names = splits_of(catalog)
    if TRAIN not in names or len(names) < 2:
        raise ValueError(
            f"{folder}: has the splits {', '.join(names) or 'none'}; needs train and another one; "
            "choose another dfa_stage.source"
        )
    return catalog


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


def _write_predictions(path: Path, splits: dict[str, Split], estimates: dict[str, Estimate]) -> None:
    """Write the predicted landmarks of all splits: x, y in image pixels, and P(visible).

    Args:
        path: the parquet file, as ``schemas.PREDICTIONS`` of the alignment catalog.
        splits: the garments by split.
        estimates: their predictions by split.
    """
    parts = []
    for name, split in splits.items():
        estimate = estimates[name]
        xy = split.to_pixels(estimate.positions)
        values = np.concatenate([xy, estimate.visibility[..., :1]], 2).astype(np.float32)
        rows = [v[present].ravel() for v, present in zip(values, split.rows.present, strict=True)]
        parts.append(pd.DataFrame({"garment_id": split.rows.garment_id, "landmarks": rows}))
    table = PREDICTIONS.validate(pd.concat(parts, ignore_index=True))
    table.to_parquet(path, compression="zstd")


def _evaluate(train: Split, evaluated: Split, estimate: Estimate) -> dict[str, float]:
    """Evaluate the predictions of one model.

    Args:
        train: the training garments, for the mean shapes.
        evaluated: the garments to evaluate on.
        estimate: predictions for them.

    Returns:
        ``NE``, the normalised error over visible landmarks, ``NE mean shape`` and ``NE mean shape of
        type``; the scores of visibility (``evaluation.visibility``); ``hard``, the share of garments
        routed to the hard network, in stage 3 only.
    """
    rows, shapes, positions = evaluated.rows, train.shapes, estimate.positions
    mask, frame = counted(rows.visibility, "visible"), evaluated.crops.frame
    shape = mean_points(shapes.positions, shapes.observed)
    of_type = mean_points_by_kind(
        shapes.positions, shapes.observed, train.rows.clothes_type, rows.clothes_type
    )
    named = {
        "NE": positions,
        "NE mean shape": np.broadcast_to(shape, positions.shape),
        "NE mean shape of type": of_type,
    }
    metrics = {
        name: ne(errors(evaluated.to_pixels(p), rows.xy, rows.box, frame), mask).macro
        for name, p in named.items()
    }
    states = estimate.visibility.argmax(-1)
    metrics |= score_visibility(states, rows.state, rows.present).metrics()
    if (estimate.branch >= 0).any():
        metrics["hard"] = float((estimate.branch == HARD).mean())
    return metrics
