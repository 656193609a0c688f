"""Step ``finetune``: the universal landmarker, trained on with one category's garments.

Three parts, so that a fleet can carry the middle one: ``prepare`` reads on the driver, ``work``
computes anywhere, ``publish`` writes on the driver. ``run`` is the three in a row.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

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
from fashion_ops.inference.validation import LandmarkerJudge, watch
from fashion_ops.methods.parts.history import HISTORY
from fashion_ops.methods.parts.trainer import OnEpoch
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.training import refuse_another, train_landmarker
from fashion_ops.params import Params, finetune_config
from fashion_ops.taxonomy import category as find_category
from fashion_ops.workspace import Workspace


def prepare(params: Params, ws: Workspace, category: str) -> Job:
    """Everything the run needs, as values: weights, garments, settings; images chunk by chunk.

    Raises:
        ValueError: the landmarker is not the one that ``params`` say, or of another grouping.
    """
    run = params.categories[category].finetune
    refuse_another(ws.landmarker, params.train_landmarker, used_grouping(ws).name)
    _, garments = load_garments(ws, "train", only=category)
    catalog = Catalog(ws.catalog.resolve())
    watched = watch(catalog, category, params.seed)
    return {
        "threads": params.distributed.cpus_per_task,
        "devices": params.distributed.devices_for(category),
        "fit": finetune_config(params.finetune, run),
        "flip": params.finetune.flip,
        "own_channels": category if params.finetune.channels == "own" else None,
        "seed": params.seed + find_category(category).id,
        "garments": garments,
        "watch": watched,
        "images": ImageChunks(catalog, np.append(garments.image_id, watched.images["image_id"])),
        "landmarker": pack_folder(ws.landmarker),
    }


def work(job: Job, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> Result:
    """Train; touches nothing but ``checkpoint``.

    A category without garments to learn from keeps the universal landmarker as it is.

    Returns:
        files: the model folder's files as bytes; metrics: garments and last epoch's numbers.
    """
    if not len(job["garments"]):
        return {"files": {**job["landmarker"], HISTORY: b"[]\n"}, "metrics": {"garments": 0}}
    torch.set_num_threads(job["threads"])
    with tempfile.TemporaryDirectory() as scratch:
        start, folder = Path(scratch, "landmarker"), Path(scratch, "model")
        unpack_folder(job["landmarker"], start)
        universal = LandmarkPredictor.load(start)
        model, spec, garments = universal.model, universal.spec, job["garments"]
        if own := job.get("own_channels"):
            channels = universal.grouping.channels(find_category(own).id)
            model.keep_channels(torch.from_numpy(channels))
            garments = garments.with_channels(channels)
            spec = {**spec, "grouping": own}
        training = {**universal.spec["training"], **job["fit"].model_dump(), "flip": job["flip"]}
        read_image, watched = ImageReader(job["images"], Path(scratch)), job.get("watch")
        folder.mkdir()
        history = train_landmarker(
            folder,
            model,
            {**spec, "training": training},
            job["fit"],
            garments,
            read_image,
            label_alpha=0.0,
            seed=job["seed"],
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            judge=LandmarkerJudge(watched, spec, read_image) if watched else None,
            devices=devices_at_hand(job["devices"], job["fit"].batch_size, len(job["garments"])),
        )
        files = pack_folder(folder)
    metrics: dict[str, Any] = {"garments": len(job["garments"]), **history[-1]}
    return {"files": files, "metrics": metrics}


def publish(ws: Workspace, category: str, result: Result) -> dict[str, float]:
    """Write ``ws.finetuned(category)`` whole."""
    publish_files(ws.finetuned(category), result["files"])
    return result["metrics"]


def run(params: Params, ws: Workspace, category: str) -> dict[str, float]:
    """Finetune one category in this process."""
    return publish(ws, category, work(prepare(params, ws, category)))
