"""Step ``finetune``: continue to train the universal landmarker on the garments of one category.

The step has three parts, so that a Ray worker can run the middle one: ``prepare`` reads inputs on the
driver, ``work`` trains without access to the workspace, ``publish`` writes the result on the driver.
``run`` does all three for one category.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import (
    ImageChunks,
    held_out,
    load_garments,
    open_images,
    used_grouping,
)
from fashion_ops.distributed.payload import (
    CategoryJob,
    Result,
    count_devices,
    pack_folder,
    publish_files,
    unpack_folder,
)
from fashion_ops.distributed.train_job import run_training
from fashion_ops.inference.validation import LandmarkerValidation, validation_set
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.history import HISTORY
from fashion_ops.methods.parts.trainer import Group, OnEpoch
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import (
    check_trained_as,
    finetune_config,
    inherit_priors,
    train_landmarker,
)
from fashion_ops.params import Params, TrainLandmarker
from fashion_ops.taxonomy import category as find_category
from fashion_ops.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class FinetuneJob(CategoryJob):
    """The finetuning of one category, from the universal landmarker.

    Attributes:
        config: how the network is trained, see ``finetune_config``.
        own_channels: keep only the output channels of this category.
    """

    config: TrainLandmarker
    own_channels: bool


def prepare(params: Params, ws: Workspace, category: str) -> FinetuneJob:
    """Collect the inputs of ``work`` for the category with this name; images are read later, in chunks.

    Raises:
        FileNotFoundError: there is no landmarker yet.
        ValueError: the landmarker was trained with other parameters than ``params``, or on another
            grouping.
    """
    check_trained_as(ws.landmarker, params.train_landmarker, used_grouping(ws).name)
    mixed = params.train_landmarker.real_share is not None
    _, garments = load_garments(ws, "train", only=category, real=mixed)
    garments = garments.take(~held_out(garments.image_id, params.train_landmarker.held_out))
    config = finetune_config(
        params.train_landmarker, params.finetune, params.categories[category].finetune
    )
    if garments.real is not None and (garments.real.all() or not garments.real.any()):
        config = config.model_copy(update={"real_share": None})  # nothing to mix in this category
    catalog = Catalog(ws.catalog.resolve())
    validation = validation_set(catalog, category, params.seed)
    return FinetuneJob(
        category=category,
        config=config,
        own_channels=params.finetune.channels == "own",
        seed=params.seed + find_category(category).id,
        garments=garments,
        validation=validation,
        images=ImageChunks(catalog, np.append(garments.image_id, validation.images["image_id"])),
        landmarker=pack_folder(ws.landmarker),
        threads=params.distributed.cpus_per_task,
        devices=params.distributed.devices_for(category),
        **CategoryJob.settings(params.distributed),
    )


def work(
    job: FinetuneJob,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    group: Group | None = None,
) -> Result:
    """Train one category's landmarker; nothing but ``checkpoint`` is written.

    A category without training garments gets the universal landmarker unchanged.

    Args:
        job: from ``prepare``.
        checkpoint: file that training resumes from if it exists, and that is replaced after an epoch
            if ``job.checkpoint_minutes`` have passed; None keeps no checkpoint.
        on_epoch: called with (epochs done, metrics of the epoch).
        group: the processes that share the training; None trains in this one, or spawns them.

    Returns:
        The files of the model folder; as metrics the number of garments and those of the last epoch.
    """
    if not len(job.garments):
        return Result({**job.landmarker, HISTORY: b"[]\n"}, {"garments": 0})
    torch.set_num_threads(job.threads)
    with tempfile.TemporaryDirectory() as scratch:
        start, folder = Path(scratch, "landmarker"), Path(scratch, "model")
        unpack_folder(job.landmarker, start)
        folder.mkdir()
        universal = LandmarkPredictor.load(start, CPU)  # only its weights, which training moves
        model, spec, garments = universal.model, universal.spec, job.garments
        assert isinstance(model, Landmarker)
        if job.own_channels:
            channels = universal.grouping.channels(find_category(job.category).id)
            model.keep_channels(torch.from_numpy(channels))
            garments = garments.with_channels(channels)
            spec = {**spec, "grouping": job.category}
        read_image = open_images(job.images, Path(scratch))
        validate = LandmarkerValidation(job.validation, spec, read_image) if job.validation else None
        options = replace(
            job.options(checkpoint, on_epoch, group),
            validate=validate,
            devices=count_devices(job.devices, job.config.batch_size, len(garments)),
        )
        history = train_landmarker(
            job.config, model, spec, garments, read_image, folder, options, seed=job.seed
        )
        inherit_priors(folder, start)
        files = pack_folder(folder)
    return Result(files, {"garments": len(garments), **history[-1]})


def publish(ws: Workspace, category: str, result: Result) -> dict[str, float]:
    """Write the model to ``ws.finetuned(category)``, as a whole or not at all; returns its metrics."""
    publish_files(ws.finetuned(category), result.files)
    return result.metrics


def run(params: Params, ws: Workspace, category: str) -> dict[str, float]:
    """Finetune one category in this process, or on the cluster at ``RAY_ADDRESS``.

    Writes ``ws.finetuned(category)`` and returns its metrics.
    """
    return run_training(
        f"finetune {category}",
        prepare(params, ws, category),
        work,
        partial(publish, ws, category),
        params.distributed,
        ws,
    )
