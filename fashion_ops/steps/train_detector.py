"""Step ``train_detector``: CenterNet with landmarks on whole images, all 13 categories at once.

Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver, ``work`` trains without access
to the workspace, ``publish`` writes the result on the driver.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.provenance import are_real
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import (
    ImageChunks,
    TrainingGarments,
    checkpoint_path,
    load_garments,
    open_images,
    used_grouping,
)
from fashion_ops.distributed.payload import (
    Files,
    Result,
    TrainingJob,
    pack_folder,
    pack_weights,
    publish_files,
    unpack_folder,
    unpack_weights,
)
from fashion_ops.distributed.train_job import run_training
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.centernet.inference import METHOD
from fashion_ops.methods.centernet.training import DetectorData, train_detector
from fashion_ops.methods.parts.real_share import check_real_share
from fashion_ops.methods.parts.trainer import Group, OnEpoch
from fashion_ops.params import Params, TrainDetector
from fashion_ops.shipped import model_folder
from fashion_ops.taxonomy import load_grouping
from fashion_ops.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class DetectorJob(TrainingJob):
    """The training of the detector.

    Attributes:
        config: network, augmentation, losses and optimisation.
        rows: images of the train split: image_id, width and height.
        garments: all garments on them.
        grouping: name of the grouping of their landmarks.
        initial_weights: files of the detector, or the published file, that training starts from; None
            for none.
        weights: the file that ``config.pretrained`` names, if it names one.
        real: bool (N,), which images are photos; None unless ``config.real_share`` needs it.
    """

    config: TrainDetector
    rows: pd.DataFrame
    garments: TrainingGarments
    grouping: str
    initial_weights: Files | None
    weights: Files | None
    real: np.ndarray | None = None

    @property
    def samples(self) -> int:
        """Number of training images."""
        return len(self.rows)


def prepare(params: Params, ws: Workspace) -> DetectorJob:
    """Collect the inputs of ``work``; images are read later.

    Raises:
        FileNotFoundError: ``start_from`` names no model folder and no file, or ``pretrained`` no file.
        ValueError: it names a model of another method; or ``real_share`` is set, and no image is a
            photo, or all are.
    """
    config, catalog = params.train_detector, Catalog(ws.catalog.resolve())
    _, garments = load_garments(ws, "train", labelled=False)
    grouping = used_grouping(ws)
    if config.grouping is not None:
        own = load_grouping(config.grouping)
        garments, grouping = garments.regrouped(grouping, own), own
    rows = catalog.images.loc[catalog.images["split"] == "train", ["image_id", "width", "height"]]
    real = None
    if config.real_share is not None:
        real = are_real(catalog, rows["image_id"].to_numpy())
        check_real_share(config.real_share, real, "train_detector")
    start = str(model_folder(config.start_from, "detector", ws.root)) if config.start_from else None
    initial = pack_weights(start, "train_detector.start_from")
    if start is not None and initial is None:
        read_spec(Path(start), METHOD)
        initial = pack_folder(Path(start))
    return DetectorJob(
        config=config,
        seed=params.seed,
        rows=rows,
        garments=garments,
        grouping=grouping.name,
        initial_weights=initial,
        weights=pack_weights(config.pretrained, "train_detector.pretrained"),
        real=real,
        images=ImageChunks(catalog, rows["image_id"].to_numpy()),
        devices=params.distributed.devices,
        **TrainingJob.settings(params.distributed),
    )


def work(
    job: DetectorJob,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    group: Group | None = None,
) -> Result:
    """Train the detector; nothing but ``checkpoint`` is written.

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
    with tempfile.TemporaryDirectory() as scratch:
        folder, initial = Path(scratch, "model"), None
        folder.mkdir()
        if config.start_from and job.initial_weights is not None:
            initial = Path(scratch, "start_from", Path(config.start_from).name)
            is_file = set(job.initial_weights) == {initial.name}
            unpack_folder(job.initial_weights, initial.parent if is_file else initial)
        read_image = open_images(job.images, Path(scratch))
        data = DetectorData(job.rows, job.garments, load_grouping(job.grouping), read_image, job.real)
        pretrained = unpack_weights(job.weights, Path(scratch, "weights"))
        history, start = train_detector(
            config, data, folder, job.seed, options, initial, pretrained=pretrained
        )
        files = pack_folder(folder)
    metrics = {"images": len(job.rows), "garments": len(job.garments), "epochs": config.epochs}
    if start is not None:
        metrics |= {"tensors_taken": start.taken, "tensors_fresh": len(start.fresh)}
    return Result(files, {**metrics, **history[-1]})


def publish(ws: Workspace, result: Result) -> dict[str, float]:
    """Write the model to ``ws.detector``, as a whole or not at all; returns its metrics."""
    publish_files(ws.detector, result.files)
    return result.metrics


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.detector``.

    Returns:
        images and garments: numbers of the train split; epochs; the mean losses of the last epoch;
        with ``start_from`` also tensors_taken and tensors_fresh: how many weight tensors the warm start
        copied and how many it could not copy (model.json names these).

    Raises:
        FileNotFoundError: ``start_from`` names no model folder and no file.
        ValueError: unknown backbone, or no weight of ``start_from`` fits.
        OSError: pretrained weights can't be loaded.
    """
    checkpoint = checkpoint_path(ws, "train_detector", params.train_detector, params.seed)
    return run_training(
        "train_detector",
        prepare(params, ws),
        work,
        partial(publish, ws),
        params.distributed,
        ws,
        checkpoint,
    )
