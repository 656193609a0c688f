"""Step ``refine``: one category's PoseFix, trained on the mistakes of its finetuned landmarker.

Three parts as in ``finetune``: ``prepare`` reads on the driver, ``work`` computes anywhere,
``publish`` writes on the driver.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import (
    ImageChunks,
    ImageReader,
    load_garments,
    used_grouping,
)
from fashion_ops.distributed.payload import (
    Job,
    Result,
    devices_at_hand,
    pack_folder,
    publish_files,
    unpack_folder,
)
from fashion_ops.inference.validation import LandmarkerJudge, Watch, watch
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.parts.trainer import OnEpoch
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.posefix.training import refiner_spec, save_untrained, train_refiner
from fashion_ops.methods.top_down.inference import METHOD, LandmarkPredictor
from fashion_ops.methods.top_down.score import pose_score
from fashion_ops.params import Params, TrainingConfig
from fashion_ops.taxonomy import category as find_category
from fashion_ops.workspace import Workspace


def prepare(params: Params, ws: Workspace, category: str) -> Job:
    """Everything the run needs, as values: weights, garments, settings; images chunk by chunk.

    Raises:
        ValueError: the finetuned landmarker is of another grouping than the landmarks.
    """
    shared, run = params.refine, params.categories[category].refine
    _, garments = load_garments(ws, "train", only=category)
    grouping, folder = used_grouping(ws), ws.finetuned(category)
    held = read_spec(folder, METHOD)["grouping"]
    if held == category:
        garments = garments.with_channels(grouping.channels(find_category(category).id))
    elif held != grouping.name:
        raise ValueError(
            f"{folder}: a landmarker of grouping {held}, the landmarks are grouped by {grouping.name}; "
            "run train_landmarker and finetune again"
        )
    catalog = Catalog(ws.catalog.resolve())
    watched = watch(catalog, category, params.seed)
    return {
        "threads": params.distributed.cpus_per_task,
        "devices": params.distributed.devices_for(category),
        "category": category,
        "refine": shared,
        "fit": TrainingConfig(
            lr=run.lr,
            epochs=run.epochs,
            batch_size=shared.batch_size,
            weight_decay=shared.weight_decay,
            precision=shared.precision,
        ),
        "seed": params.seed + find_category(category).id,
        "garments": garments,
        "watch": watched,
        "images": ImageChunks(catalog, np.append(garments.image_id, watched.images["image_id"])),
        "landmarker": pack_folder(folder),
    }


def work(job: Job, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> Result:
    """Train; touches nothing but ``checkpoint``.

    A category without garments to learn from gets a refiner that starts from its landmarker, untrained:
    whatever ``refine.backbone`` says, for only that one is of use before it has learned anything.

    Returns:
        files: the model folder's files as bytes; metrics: garments and last epoch's losses.
    """
    torch.set_num_threads(job["threads"])
    with tempfile.TemporaryDirectory() as scratch:
        start, folder = Path(scratch, "landmarker"), Path(scratch, "model")
        unpack_folder(job["landmarker"], start)
        folder.mkdir()
        landmarker, category = LandmarkPredictor.load(start), find_category(job["category"])
        history: list[dict[str, float]] = []
        if not len(job["garments"]):
            save_untrained(folder, landmarker, job["refine"], category)
        else:
            read_image = ImageReader(job["images"], Path(scratch))
            history = train_refiner(
                folder,
                landmarker,
                job["refine"],
                job["fit"],
                category,
                job["garments"],
                read_image,
                seed=job["seed"],
                checkpoint=checkpoint,
                on_epoch=on_epoch,
                judge=_judge(job, landmarker, read_image),
                devices=devices_at_hand(job["devices"], job["fit"].batch_size, len(job["garments"])),
            )
        files = pack_folder(folder)
    metrics: dict[str, Any] = {"garments": len(job["garments"]), **(history[-1] if history else {})}
    return {"files": files, "metrics": metrics}


@dataclass(frozen=True)
class RefinerJudge:
    """Judges a refiner in training by what it makes of ``poses`` of its landmarker; see ``watch``."""

    watch: Watch
    spec: dict[str, Any]
    read_image: ImageReader
    poses: list[np.ndarray]

    def __call__(self, model: nn.Module) -> dict[str, float]:
        refiner = Refiner(model, {**self.spec, "flip_test": False}, next(model.parameters()).device)
        ids, boxes, _ = self.watch.boxed
        refined = refiner.refine_garments(self.read_image, ids, boxes, np.stack(self.poses))
        return self.watch.judge(list(refined), [pose_score(pose) for pose in self.poses])


def _judge(job: Job, landmarker: LandmarkPredictor, read_image: ImageReader) -> RefinerJudge | None:
    """What judges the epochs; None where the category has no validation garments."""
    if not (watched := job.get("watch")):
        return None
    poses = LandmarkerJudge(watched, landmarker.spec, read_image).poses(landmarker.model)
    spec = refiner_spec(job["refine"], landmarker.spec, find_category(job["category"]))
    return RefinerJudge(watched, spec, read_image, poses)


def publish(ws: Workspace, category: str, result: Result) -> dict[str, float]:
    """Write ``ws.refined(category)`` whole."""
    publish_files(ws.refined(category), result["files"])
    return result["metrics"]


def run(params: Params, ws: Workspace, category: str) -> dict[str, float]:
    """Refine one category in this process."""
    return publish(ws, category, work(prepare(params, ws, category)))
