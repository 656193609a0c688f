"""Step ``train_landmarker``: the universal landmarker, one network for all 13 categories.

Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver, ``work`` trains without access
to the workspace, ``publish`` writes the result on the driver.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import (
    ImageChunks,
    TrainingGarments,
    checkpoint_path,
    held_out,
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
from fashion_ops.methods.parts.real_share import check_real_share
from fashion_ops.methods.parts.trainer import Group, OnEpoch
from fashion_ops.methods.top_down.inference import METHOD
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import (
    inherit_priors,
    landmarker_spec,
    train_landmarker,
    warm_start,
)
from fashion_ops.params import Params, TrainLandmarker
from fashion_ops.shipped import model_folder
from fashion_ops.taxonomy import load_grouping
from fashion_ops.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class LandmarkerJob(TrainingJob):
    """The training of the universal landmarker.

    Attributes:
        config: network, augmentation, losses and optimisation.
        garments: of all categories.
        grouping: name of the grouping of their landmarks.
        weights: the file that ``config.pretrained`` names, if it names one.
        initial_weights: files of the landmarker that training starts from; None for none.
    """

    config: TrainLandmarker
    garments: TrainingGarments
    grouping: str
    weights: Files | None
    initial_weights: Files | None = None

    @property
    def samples(self) -> int:
        """Number of training garments."""
        return len(self.garments)


def prepare(params: Params, ws: Workspace) -> LandmarkerJob:
    """Collect the inputs of ``work``; images are read later.

    Raises:
        FileNotFoundError: ``pretrained`` names a file, or ``start_from`` a folder, that does not exist.
        ValueError: ``start_from`` names a model of another method; or ``real_share`` is set, and no
            garment is on a photo, or all are.
    """
    config, initial = params.train_landmarker, None
    if config.start_from:
        folder = model_folder(config.start_from, "landmarker", ws.root)
        read_spec(folder, METHOD)
        initial = pack_folder(folder)
    mixed = config.real_share is not None
    _, garments = load_garments(ws, "train", soft_labels=True, real=mixed)
    garments = garments.take(~held_out(garments.image_id, config.held_out))
    if config.real_share is not None:
        check_real_share(config.real_share, garments.real, "train_landmarker")
    return LandmarkerJob(
        config=config,
        weights=pack_weights(config.pretrained, "train_landmarker.pretrained"),
        initial_weights=initial,
        seed=params.seed,
        garments=garments,
        grouping=used_grouping(ws).name,
        images=ImageChunks(Catalog(ws.catalog.resolve()), garments.image_id),
        devices=params.distributed.devices,
        **TrainingJob.settings(params.distributed),
    )


def work(
    job: LandmarkerJob,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    group: Group | None = None,
) -> Result:
    """Train the landmarker; nothing but ``checkpoint`` is written.

    Args:
        job: from ``prepare``.
        checkpoint: file that training resumes from if it exists, and that is replaced after an epoch
            if it is time; None keeps no checkpoint.
        on_epoch: called with (epochs done, metrics of the epoch); without it a bar shows them.
        group: the processes that share the training; None trains in this one, or spawns them.

    Returns:
        The files of the model folder; as metrics those of ``run``.
    """
    config, garments = job.config, job.garments
    options = job.options(checkpoint, on_epoch, group)
    options = replace(options, bar=on_epoch is None and group is None)
    clusters = garments.soft_labels.shape[1] if config.pseudo_label_weight else 0
    channels = load_grouping(job.grouping).num_groups
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        folder.mkdir()
        pretrained = unpack_weights(job.weights, Path(scratch, "weights")) or config.pretrained
        torch.manual_seed(job.seed)
        model = Landmarker(config.backbone, channels, clusters, pretrained, config.head, config.crop)
        spec, metrics = landmarker_spec(config, job.grouping, clusters), {"garments": len(garments)}
        if job.initial_weights is not None:
            unpack_folder(job.initial_weights, Path(scratch, "start_from"))
            start = warm_start(model, Path(scratch, "start_from"))
            spec["start"] = {"sha256": start.sha256, "fresh": start.fresh}
            metrics |= {"tensors_taken": start.taken, "tensors_fresh": len(start.fresh)}
        history = train_landmarker(
            config,
            model,
            spec,
            garments,
            open_images(job.images, Path(scratch)),
            folder,
            options,
            seed=job.seed,
        )
        if job.initial_weights is not None:
            inherit_priors(folder, Path(scratch, "start_from"))
        files = pack_folder(folder)
    return Result(files, {**metrics, **history[-1]})


def publish(ws: Workspace, result: Result) -> dict[str, float]:
    """Write the model to ``ws.landmarker``, as a whole or not at all; returns its metrics."""
    publish_files(ws.landmarker, result.files)
    return result.metrics


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the grouped landmarks of the train split and write ``ws.landmarker``.

    Returns:
        garments: number of training garments; loss, heatmap and others: mean losses of the last epoch;
        with ``start_from`` also tensors_taken and tensors_fresh: how many weight tensors the warm start
        copied and how many it could not copy (model.json names these).
    """
    checkpoint = checkpoint_path(ws, "train_landmarker", params.train_landmarker, params.seed)
    return run_training(
        "train_landmarker",
        prepare(params, ws),
        work,
        partial(publish, ws),
        params.distributed,
        ws,
        checkpoint,
    )
