"""Step ``train_gle``: GLE on an alignment catalog, one network for all clothing types.

The step writes the model folder, ``predictions.parquet`` of the splits that it is not trained on (input
of ``fashion-ops score``) and ``report.md``. It evaluates on ``val``; where a data set has no such split
(In-shop), on the first one after ``train``.

Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver, ``work`` trains without access
to the workspace, ``publish`` writes the result on the driver.
"""

import logging
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentGarments
from fashion_ops.catalog.training_data import ImageChunks, open_images
from fashion_ops.distributed.payload import (
    Files,
    Result,
    TrainingJob,
    pack,
    pack_folder,
    publish_files,
    unpack,
)
from fashion_ops.distributed.train_job import run_training
from fashion_ops.inference.alignment_splits import (
    TRAIN,
    evaluated_split,
    open_catalog,
    score_positions,
    write_predictions,
)
from fashion_ops.methods.alignment.data import splits_of
from fashion_ops.methods.alignment.gle.inference import METHOD
from fashion_ops.methods.alignment.gle.training import train_gle
from fashion_ops.methods.alignment.gle.warm_start import SETTING
from fashion_ops.methods.artifact import read_spec, save_model
from fashion_ops.methods.parts.published_weights import FILES
from fashion_ops.methods.parts.trainer import Group, OnEpoch
from fashion_ops.params import Params, TrainGle
from fashion_ops.reports.alignment_stage import StageReport, write_report
from fashion_ops.workspace import Workspace

log = logging.getLogger(__name__)

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True, kw_only=True)
class GleJob(TrainingJob):
    """The training of GLE.

    Attributes:
        config: network, targets, augmentation and optimisation.
        garments: ``garments.parquet`` of the catalog, those with clothes.
        catalog: its folder, for messages.
        start: files of the model that training starts from; None for none.
    """

    config: TrainGle
    garments: pd.DataFrame
    catalog: Path
    start: Files | None

    @property
    def samples(self) -> int:
        """Number of training garments."""
        return int((self.garments["split"] == TRAIN).sum())


def prepare(params: Params, ws: Workspace) -> GleJob:
    """Collect the inputs of ``work``; images are read later.

    Raises:
        FileNotFoundError: there is no such catalog, or ``start_from`` names no model and no file.
        ValueError: the catalog has no garments to train on or to evaluate, or ``start_from`` is a model
            of another method.
    """
    config = params.train_gle
    catalog = open_catalog(ws, config.source, "train_gle.source")
    garments = catalog.garments[catalog.garments["clothes_type"] > 0]
    if not (garments["split"] == TRAIN).any():
        raise ValueError(
            f"{catalog.folder}: has people, no garments to train on; choose another train_gle.source"
        )
    return GleJob(
        config=config,
        seed=params.seed,
        garments=garments,
        catalog=catalog.folder,
        start=None if config.start_from is None else _pack_start(ws.root / config.start_from),
        images=ImageChunks(catalog, garments["image_id"].to_numpy()),
        devices=params.distributed.devices,
        **TrainingJob.settings(params.distributed),
    )


def work(
    job: GleJob,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    group: Group | None = None,
) -> Result:
    """Train the network and predict the other splits; nothing but ``checkpoint`` is written.

    Args:
        job: from ``prepare``.
        checkpoint: file that training resumes from if it exists, and that is replaced after an epoch
            if it is time; None keeps no checkpoint.
        on_epoch: called with (epochs done, metrics of the epoch); without it a bar shows them.
        group: the processes that share the training; None trains in this one, or spawns them.

    Returns:
        The files of the model folder; as metrics those of ``run``.
    """
    config = job.config
    options = job.options(checkpoint, on_epoch, group)
    options = replace(options, bar=on_epoch is None and group is None)
    with tempfile.TemporaryDirectory() as name:
        scratch, folder = Path(name), Path(name, "model")
        folder.mkdir()
        read_image = open_images(job.images, scratch)
        catalog = AlignmentGarments(job.garments, read_image, job.catalog)
        rows = {split: catalog.points(split) for split in splits_of(catalog)}
        start = unpack(job.start, scratch / "start_from")
        trained = train_gle(
            config, rows[TRAIN], catalog.image, seed=job.seed, options=options, start=start
        )
        save_model(folder, trained.model, trained.spec, list(trained.history))
        predicted = {
            split: (others, trained.predict(catalog.image, others.image_id, others.box))
            for split, others in rows.items()
            if split != TRAIN
        }
        write_predictions(folder / PREDICTIONS, predicted)
        evaluated = evaluated_split(catalog)
        garments, landmarks = predicted[evaluated]
        scores = score_positions(rows[TRAIN], garments, landmarks[..., :2])
        report = StageReport("all", len(rows[TRAIN]), len(garments), scores)
        write_report(folder, "GLE", f"{config.source}, split {evaluated}", [report])
        files = pack_folder(folder)
    metrics = {"garments": float(len(rows[TRAIN])), **scores, **trained.history[-1]}
    if trained.start is not None:
        log.warning("train_gle: %s", trained.start.in_words(SETTING, str(config.start_from)))
        fresh = len(trained.start.fresh)
        metrics |= {"tensors_taken": float(trained.start.taken), "tensors_fresh": float(fresh)}
    return Result(files, metrics)


def _pack_start(source: Path) -> Files:
    """The model or file that ``start_from`` names.

    Raises:
        FileNotFoundError: it is neither.
        ValueError: the model is of another method.
    """
    if source.suffix not in FILES:
        read_spec(source, METHOD)
    elif not source.is_file():
        raise FileNotFoundError(f"{SETTING}: {source} is no file; copy the weights there")
    return pack(source)


def publish(ws: Workspace, result: Result) -> dict[str, float]:
    """Write the model to ``ws.gle``, as a whole or not at all; returns its metrics."""
    publish_files(ws.gle, result.files)
    return result.metrics


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the training garments of ``train_gle.source`` and write ``ws.gle``.

    Returns:
        garments: number of training garments; NE of the evaluated split beside those of the mean
        shapes, see ``score_positions``; the mean losses of the last epoch. With ``start_from`` also
        tensors_taken and tensors_fresh, as ``train_detector``.

    Raises:
        FileNotFoundError: there is no such catalog, or ``start_from`` names no model and no file.
        ValueError: the catalog has no garments to train on or to evaluate, or no weight of
            ``start_from`` fits.
        OSError: pretrained weights can't be loaded.
    """
    job = prepare(params, ws)
    return run_training("train_gle", job, work, partial(publish, ws), params.distributed, ws)
