"""Step ``dfa_stage``: train one stage of DFA's cascade on FLD and predict all splits.

Stage 2 reads the predictions of stage 1, and stage 3 those of stage 2. The step writes, for each model
of the stage (one for all clothing types, or one per type): the model folder, ``estimates.safetensors``
(input of the next stage), ``predictions.parquet`` (input of ``fashion-ops score``) and
``clusters.png`` (Fig. 4). Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver,
``work`` trains without access to the workspace, ``publish`` writes the result on the driver.
"""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file

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
from fashion_ops.errors.reading import read_arrays
from fashion_ops.evaluation.mean_shape import mean_points
from fashion_ops.evaluation.normalized_error import counted, errors, ne
from fashion_ops.methods.alignment.data import Split, kinds_of, load_split
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
from fashion_ops.workspace import Workspace

SPLITS = ("train", "val", "test")
ESTIMATES = "estimates.safetensors"
_ARRAYS = ("positions", "visibility", "labels", "branch")  # of an ``Estimate``


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
        return int((self.garments["split"] == "train").sum())

    @property
    def epochs(self) -> None:
        """They depend on the garments of each network, see ``scale_epochs``."""


def prepare(params: Params, ws: Workspace, stage: str) -> StageJob:
    """Collect the inputs of ``work`` for stage ``1``, ``2`` or ``3``; images are read later.

    Raises:
        FileNotFoundError: the stage before has not been trained yet, or not for a kind of garment.
    """
    config, number = params.dfa_stage, int(stage)
    folder = (ws.alignment_catalog / config.source).resolve()
    catalog = AlignmentCatalog(folder)
    previous = {}
    if number > 1:
        kinds = kinds_of(catalog, config.per_type)
        previous = {kind: _pack_previous(ws.dfa(str(number - 1)) / kind, number - 1) for kind in kinds}
    return StageJob(
        config=config,
        number=number,
        seed=params.seed,
        garments=catalog.garments,
        catalog=folder,
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
            options = job.options(checkpoints.path(kind), checkpoints.report, group)
            trained, val = _train_kind(job, catalog, kind, model_folder, options)
            history += trained.history
            for key, value in (val | trained.history[-1]).items():
                metrics.setdefault(key, []).append(value)
        write_history(folder, history)
        files = pack_folder(folder)
    return Result(files, {name: float(np.mean(values)) for name, values in metrics.items()})


def _train_kind(
    job: StageJob, catalog: AlignmentCatalog, kind: str, folder: Path, options: TrainerOptions
) -> tuple[TrainedStage, dict[str, float]]:
    """Train one model of a stage, and write it and its predictions into the existing ``folder``.

    Returns:
        The model, and the metrics of its predictions for the val split.
    """
    config, number = job.config, job.number
    splits = {name: load_split(catalog, name, kind, config.input_size, config.frame) for name in SPLITS}
    stage_before, known = _read_previous(job.previous.get(kind), select_device(job.device))
    previous = None if stage_before is None else PreviousStage(stage_before, known["train"])
    train = splits["train"]
    trained = train_stage(config, number, train.data, job.seed, previous, options=options)
    estimates = {name: trained.predict(split.crops, known.get(name)) for name, split in splits.items()}
    trained.save(folder)
    write_estimates(folder / ESTIMATES, estimates)
    _write_predictions(folder / "predictions.parquet", splits, estimates)
    if trained.labels is not None:
        positions = known["train"].positions if known else None
        draw_patterns(folder / "clusters.png", number, trained.labels, train, positions)
    return trained, _evaluate(splits, estimates["val"])


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
        Means over the stage's models: ``NE`` (normalised error over visible landmarks) on the val
        split, and ``NE mean shape``; ``hard``, the share of val garments routed to the hard network
        (stage 3 only); the losses of the last epoch.

    Raises:
        FileNotFoundError: the stage before was not trained yet.
    """
    return run_training(
        f"dfa_stage {stage}",
        prepare(params, ws, stage),
        work,
        partial(publish, ws, stage),
        params.distributed,
        ws,
    )


def write_estimates(path: Path, estimates: dict[str, Estimate]) -> None:
    """Write the predictions of one model of a stage as safetensors.

    Args:
        path: the file, usually named ``ESTIMATES``.
        estimates: predictions by split; garments in the order of the catalog.
    """
    arrays = {
        f"{split}.{name}": np.ascontiguousarray(getattr(estimate, name))
        for split, estimate in estimates.items()
        for name in _ARRAYS
    }
    save_file(arrays, path, metadata={"passes": str(next(iter(estimates.values())).passes)})


def read_estimates(path: Path) -> dict[str, Estimate]:
    """Read the file that ``write_estimates`` wrote: predictions by split, with ``passes`` set to 1."""
    arrays = read_arrays(path)
    splits = dict.fromkeys(name.partition(".")[0] for name in arrays)
    return {s: Estimate(*(arrays[f"{s}.{name}"] for name in _ARRAYS), passes=1) for s in splits}


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
    files: Files | None, device: torch.device
) -> tuple[TrainedStage | None, dict[str, Estimate]]:
    """Read one model of the stage before.

    Args:
        files: of its folder; None for stage 1.
        device: where its networks run.

    Returns:
        The trained stage and its predictions by split; None and an empty dict for stage 1.
    """
    if files is None:
        return None, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack_folder(files, folder)
        return TrainedStage.load(folder, device), read_estimates(folder / ESTIMATES)


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


def _evaluate(splits: dict[str, Split], estimate: Estimate) -> dict[str, float]:
    """Evaluate the predictions of one model for the val split.

    Args:
        splits: the garments of the train split, for the mean shape, and of the val split.
        estimate: predictions for the val split.

    Returns:
        ``NE`` of the predictions and ``NE mean shape``, over visible landmarks; ``hard``, the share of
        garments routed to the hard network, in stage 3 only.
    """
    val, train = splits["val"], splits["train"]
    mask = counted(val.rows.visibility, "visible")
    shape = mean_points(train.shapes.positions, train.shapes.observed)
    mean_shape = np.broadcast_to(shape, estimate.positions.shape)
    frame = val.crops.frame
    metrics = {
        name: ne(errors(val.to_pixels(p), val.rows.xy, val.rows.box, frame), mask).macro
        for name, p in (("NE", estimate.positions), ("NE mean shape", mean_shape))
    }
    if (estimate.branch >= 0).any():
        metrics["hard"] = float((estimate.branch == HARD).mean())
    return metrics
