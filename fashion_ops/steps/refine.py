"""Step ``refine``: train one category's PoseFix on the errors of its finetuned landmarker.

Three parts, as in ``finetune``: ``prepare`` reads inputs on the driver, ``work`` trains without access
to the workspace, ``publish`` writes the result on the driver.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

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
from fashion_ops.inference.validation import LandmarkerValidation, ValidationSet, validation_set
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.trainer import Group, OnEpoch
from fashion_ops.methods.posefix.data import RefinerData
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.posefix.training import (
    refine_config,
    refiner_spec,
    save_untrained,
    train_refiner,
)
from fashion_ops.methods.top_down.decode import pose_score
from fashion_ops.methods.top_down.inference import METHOD, LandmarkPredictor
from fashion_ops.params import Params, Refine
from fashion_ops.taxonomy import category as find_category
from fashion_ops.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class RefineJob(CategoryJob):
    """The training of one category's refiner, for the finetuned landmarker.

    Attributes:
        refine: the parameters that all categories share.
    """

    refine: Refine


def prepare(params: Params, ws: Workspace, category: str) -> RefineJob:
    """Collect the inputs of ``work`` for the category with this name; images are read later, in chunks.

    Raises:
        FileNotFoundError: the category has no finetuned landmarker yet.
        ValueError: its output channels follow another grouping than the landmarks of the catalog.
    """
    _, garments = load_garments(ws, "train", only=category)
    grouping, folder = used_grouping(ws), ws.finetuned(category)
    spec = read_spec(folder, METHOD)
    garments = garments.take(~held_out(garments.image_id, spec["training"].get("held_out", 0.0)))
    model_grouping = spec["grouping"]
    if model_grouping == category:
        garments = garments.with_channels(grouping.channels(find_category(category).id))
    elif model_grouping != grouping.name:
        raise ValueError(
            f"{folder}: a landmarker of grouping {model_grouping}, the landmarks are grouped by "
            f"{grouping.name}; run train_landmarker and finetune again"
        )
    catalog = Catalog(ws.catalog.resolve())
    validation = validation_set(catalog, category, params.seed)
    return RefineJob(
        category=category,
        config=refine_config(params.refine, params.categories[category].refine),
        refine=params.refine,
        seed=params.seed + find_category(category).id,
        garments=garments,
        validation=validation,
        images=ImageChunks(catalog, np.append(garments.image_id, validation.images["image_id"])),
        landmarker=pack_folder(folder),
        threads=params.distributed.cpus_per_task,
        devices=params.distributed.devices_for(category),
        **CategoryJob.settings(params.distributed),
    )


def work(
    job: RefineJob,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    group: Group | None = None,
) -> Result:
    """Train one category's refiner; nothing but ``checkpoint`` is written.

    A category without training garments gets an untrained refiner that starts from its landmarker,
    whatever ``refine.backbone`` says: no other backbone is of use without training.

    Args:
        job: from ``prepare``.
        checkpoint: file that training resumes from if it exists, and that is replaced after an epoch
            if ``job.checkpoint_minutes`` have passed; None keeps no checkpoint.
        on_epoch: called with (epochs done, metrics of the epoch).
        group: the processes that share the training; None trains in this one, or spawns them.

    Returns:
        The files of the model folder; as metrics the number of garments and those of the last epoch.
    """
    torch.set_num_threads(job.threads)
    with tempfile.TemporaryDirectory() as scratch:
        start, folder = Path(scratch, "landmarker"), Path(scratch, "model")
        unpack_folder(job.landmarker, start)
        folder.mkdir()
        landmarker = LandmarkPredictor.load(start, select_device(job.device))
        history: list[dict[str, float]] = []
        if not len(job.garments):
            save_untrained(folder, landmarker, job.refine, find_category(job.category))
        else:
            read_image = open_images(job.images, Path(scratch))
            options = replace(
                job.options(checkpoint, on_epoch, group),
                validate=_validation(job, landmarker, read_image),
                devices=count_devices(job.devices, job.config.batch_size, len(job.garments)),
            )
            history = train_refiner(
                job.config,
                job.refine,
                landmarker,
                RefinerData(job.garments, read_image),
                folder,
                options,
                seed=job.seed,
            )
        files = pack_folder(folder)
    return Result(files, {"garments": len(job.garments), **(history[-1] if history else {})})


@dataclass(frozen=True)
class RefinerValidation:
    """Computes the AP of a refiner in training: a ``Validate`` of ``TrainerOptions``.

    Attributes:
        data: the validation garments.
        spec: content of the refiner's ``model.json``.
        read_image: image id to RGB uint8 (H, W, 3).
        poses: landmarks that the landmarker predicts for each garment, which are refined.
    """

    data: ValidationSet
    spec: dict[str, Any]
    read_image: Callable[[int], np.ndarray]
    poses: list[np.ndarray]

    def __call__(self, model: nn.Module) -> dict[str, float]:
        refiner = Refiner(model, {**self.spec, "flip_test": False}, next(model.parameters()).device)
        image_ids, boxes, _ = self.data.boxes
        refined = refiner.refine_garments(self.read_image, image_ids, boxes, np.stack(self.poses))
        return self.data.evaluate(list(refined), [pose_score(pose) for pose in self.poses])


def _validation(
    job: RefineJob, landmarker: LandmarkPredictor, read_image: Callable[[int], np.ndarray]
) -> RefinerValidation | None:
    """The validation of a category's training; None if the category has no validation garments."""
    if not job.validation:
        return None
    predict = LandmarkerValidation(job.validation, landmarker.spec, read_image).predict
    spec = refiner_spec(job.refine, landmarker.spec, find_category(job.category))
    return RefinerValidation(job.validation, spec, read_image, predict(landmarker.model))


def publish(ws: Workspace, category: str, result: Result) -> dict[str, float]:
    """Write the model to ``ws.refined(category)``, as a whole or not at all; returns its metrics."""
    publish_files(ws.refined(category), result.files)
    return result.metrics


def run(params: Params, ws: Workspace, category: str) -> dict[str, float]:
    """Train one category's refiner in this process, or on the cluster at ``RAY_ADDRESS``.

    Writes ``ws.refined(category)`` and returns its metrics.
    """
    return run_training(
        f"refine {category}",
        prepare(params, ws, category),
        work,
        partial(publish, ws, category),
        params.distributed,
        ws,
    )
