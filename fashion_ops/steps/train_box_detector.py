"""Step ``train_box_detector``: Cascade R-CNN or Hybrid Task Cascade, all 13 categories at once.

With ``kind`` null nothing is trained: ``model.json`` records that, and boxes come from CenterNet or a
file. Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver, ``work`` trains without
access to the workspace, ``publish`` writes the result on the driver.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import ImageChunks, checkpoint_path, open_images
from fashion_ops.distributed.payload import Result, TrainingJob, pack_folder, publish_files
from fashion_ops.distributed.train_job import run_training
from fashion_ops.methods.detection.inference import write_none
from fashion_ops.methods.detection.training import train_box_detector, untrained_model
from fashion_ops.methods.parts.trainer import Group, OnEpoch
from fashion_ops.params import Params, TrainBoxDetector
from fashion_ops.workspace import Workspace
from fashion_ops.workspace import publish as publish_folder


@dataclass(frozen=True, kw_only=True)
class BoxDetectorJob(TrainingJob):
    """The training of the box detector.

    Attributes:
        config: network, augmentation and optimisation.
        image_ids: images of the train split, including those without garments.
        garments: rows of the catalog; those on these images.
    """

    config: TrainBoxDetector
    image_ids: np.ndarray
    garments: pd.DataFrame

    @property
    def samples(self) -> int:
        """Number of training images."""
        return len(self.image_ids)


def prepare(params: Params, ws: Workspace) -> BoxDetectorJob:
    """Collect the inputs of ``work``; images are read later."""
    catalog = Catalog(ws.catalog.resolve())
    ids = catalog.images.loc[catalog.images["split"] == "train", "image_id"].to_numpy(np.int64)
    return BoxDetectorJob(
        config=params.train_box_detector,
        seed=params.seed,
        image_ids=ids,
        garments=catalog.garments[catalog.garments["split"] == "train"],
        images=ImageChunks(catalog, ids),
        devices=params.distributed.devices,
        **TrainingJob.settings(params.distributed),
    )


def work(
    job: BoxDetectorJob,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    group: Group | None = None,
) -> Result:
    """Train the box detector; nothing but ``checkpoint`` is written.

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
    torch.manual_seed(job.seed)
    model = untrained_model(config)
    options = job.options(checkpoint, on_epoch, group)
    options = replace(options, bar=on_epoch is None and group is None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        folder.mkdir()
        read_image = open_images(job.images, Path(scratch))
        history = train_box_detector(
            config, model, job.image_ids, job.garments, read_image, folder, job.seed, options
        )
        files = pack_folder(folder)
    metrics = {"images": job.samples, "garments": len(job.garments), "epochs": config.epochs}
    return Result(files, {**metrics, **history[-1]})


def publish(ws: Workspace, result: Result) -> dict[str, float]:
    """Write the model to ``ws.box_detector``, as a whole or not at all; returns its metrics."""
    publish_files(ws.box_detector, result.files)
    return result.metrics


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.box_detector``.

    Returns:
        images and garments: numbers of the train split; epochs; the mean losses of the last epoch.
        With ``kind`` null only images, which is 0.

    Raises:
        ValueError: unknown backbone or weights; or Hybrid Task Cascade is to train on a garment without
            a polygon.
        OSError: pretrained weights can't be loaded.
    """
    config = params.train_box_detector
    if config.kind is None:
        with publish_folder(ws.box_detector) as folder:
            write_none(folder)
        return {"images": 0}
    checkpoint = checkpoint_path(ws, "train_box_detector", config, params.seed, grouped=False)
    return run_training(
        "train_box_detector",
        prepare(params, ws),
        work,
        partial(publish, ws),
        params.distributed,
        ws,
        checkpoint,
    )
