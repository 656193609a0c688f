"""From garments and pictures to a landmarker folder; the universal run and the 13 finetuning runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.augment import Warp
from fashion_ops.methods.parts.fit import OnEpoch, fit
from fashion_ops.methods.parts.regions import Garments, Regions
from fashion_ops.methods.top_down.inference import METHOD
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.module import LandmarkerModule, LandmarkerSettings
from fashion_ops.params import Fit, TrainLandmarker
from fashion_ops.taxonomy import load_grouping


def landmarker_spec(params: TrainLandmarker, grouping: str, clusters: int) -> dict[str, Any]:
    """The ``model.json`` of a landmarker trained with these parameters."""
    return {
        "method": METHOD,
        "backbone": params.backbone,
        "grouping": grouping,
        "clusters": clusters,
        "crop": list(params.crop),
        "padding": params.padding,
        "heatmap": {"loss": params.loss, "sigma": params.heatmap_sigma},
        "flip_test": params.flip_test,
        "precision": params.precision,
        "training": params.model_dump(mode="json"),
    }


def train_landmarker(
    folder: Path,
    model: Landmarker,
    spec: dict[str, Any],
    run: Fit,
    garments: Garments,
    read_image: Callable[[int], np.ndarray],
    *,
    label_alpha: float,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    loader_workers: int = 0,
    devices: int = 1,
    bar: bool = False,
) -> list[dict[str, float]]:
    """Train ``model`` and write its folder.

    Args:
        folder: where the model goes; exists and is empty.
        model: fresh for the universal run, the universal weights for a finetuning run.
        spec: see ``landmarker_spec``; its ``training`` says crop, augmentation and schedule.
        run: learning rate, epochs, batch size.
        garments: what to train on.
        read_image: image id to RGB uint8.
        label_alpha: starting weight of the pseudo-label loss; 0 where there are no labels.
        seed: of order and augmentation.
        checkpoint: resume point.
        on_epoch: told the mean losses of each epoch.
        loader_workers: processes that cut crops, where they don't fit in memory.
        devices: how many share the run; see ``fit``.
        bar: show a progress bar.

    Returns:
        Mean losses of each epoch.
    """
    training = TrainLandmarker.model_validate(spec["training"])
    settings = LandmarkerSettings(
        crop=training.crop,
        heatmap_sigma=training.heatmap_sigma,
        loss=training.loss,
        warp=Warp(training.flip, training.rotation, training.scale, training.shift, training.color),
        label_alpha=label_alpha,
        label_decay=training.pseudo_label_decay,
    )
    mirror = torch.from_numpy(load_grouping(spec["grouping"]).mirror())
    module = LandmarkerModule(model, run, settings, mirror, seed)
    data = Regions(garments, read_image, training.crop, training.padding)
    history = fit(
        module,
        data,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        loader_workers=loader_workers,
        devices=devices,
        bar=bar,
    )
    save_model(folder, model, spec)
    (folder / "history.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    return history
