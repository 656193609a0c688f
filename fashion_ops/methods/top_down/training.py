"""From garments and images to a landmarker folder; the universal run and the 13 finetuning runs."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.artifact import read_spec, save_model
from fashion_ops.methods.parts.augment import Warp
from fashion_ops.methods.parts.position_constraint import Constraint, left_and_right
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import OnEpoch, TrainerOptions, Validate, fit
from fashion_ops.methods.top_down.decode import Reading
from fashion_ops.methods.top_down.inference import METHOD
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.module import LandmarkerModule, LandmarkerSettings
from fashion_ops.params import TrainingConfig, TrainLandmarker
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
        **asdict(Reading.of(params.model_dump())),
        "precision": params.precision,
        "training": params.model_dump(mode="json"),
    }


def refuse_another(path: Path, params: TrainLandmarker, grouping: str) -> None:
    """A landmarker that a run is to start from must be what the parameters say.

    Args:
        path: its folder.
        params: of now.
        grouping: of now.

    Raises:
        FileNotFoundError: no model there.
        ValueError: another method, backbone, grouping or training; says which and what is there.
    """
    spec = read_spec(path, METHOD)
    there = TrainLandmarker.model_validate(spec["training"]).model_dump()
    held = {**there, "grouping": spec["grouping"], "backbone": spec["backbone"]}
    wanted = {**params.model_dump(), "grouping": grouping}
    differ = [f"{k} {held[k]} (now {v})" for k, v in wanted.items() if held[k] != v]
    if differ:
        raise ValueError(
            f"{path}: a landmarker of {', '.join(differ)}; run train_landmarker with these parameters, "
            "or set them back"
        )


def train_landmarker(
    folder: Path,
    model: Landmarker,
    spec: dict[str, Any],
    run: TrainingConfig,
    garments: TrainingGarments,
    read_image: Callable[[int], np.ndarray],
    *,
    label_alpha: float,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    judge: Validate | None = None,
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
        on_epoch: told the numbers of each epoch.
        judge: adds its own to them; see ``fit``.
        loader_workers: processes that cut crops, where they don't fit in memory.
        devices: how many share the run; see ``fit``.
        bar: show a progress bar.

    Returns:
        Mean losses of each epoch, and what ``judge`` found.

    Raises:
        ValueError: the garments are of another grouping, or the checkpoint is of another run.
    """
    training = TrainLandmarker.model_validate(spec["training"])
    grouping = load_grouping(spec["grouping"])
    if garments.landmarks.shape[1] != grouping.num_groups:
        raise ValueError(
            f"the garments have {garments.landmarks.shape[1]} landmark channels, the model's grouping "
            f"{grouping.name} has {grouping.num_groups}: they must be of one grouping"
        )
    constraint = None
    if training.position_constraint:
        parts = left_and_right(grouping)
        constraint = Constraint(training.position_constraint, parts, training.position_constraint_k)
    settings = LandmarkerSettings(
        crop=training.crop,
        heatmap_sigma=training.heatmap_sigma,
        loss=training.loss,
        warp=Warp(training.flip, training.rotation, training.scale, training.shift, training.color),
        reading=Reading.of(spec),
        constraint=constraint,
        label_alpha=label_alpha,
        label_decay=training.pseudo_label_decay,
    )
    module = LandmarkerModule(model, spec["backbone"], run, settings, grouping, seed)
    data = Regions(garments, read_image, training.crop, training.padding)
    history = fit(
        module,
        data,
        TrainerOptions(
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            validate=judge,
            loader_workers=loader_workers,
            devices=devices,
            bar=bar,
        ),
        weights=balanced(garments.category_id) if training.balanced_sampling else None,
    )
    save_model(folder, model, spec, history)
    return history


def balanced(category_ids: np.ndarray) -> np.ndarray:
    """Weights (N,) of class-balanced sampling: 1 / (share of the garment's category + 0.02).

    So the third place of the 2020 challenge drew; the constant keeps the rarest from taking over.
    """
    counts = np.bincount(category_ids)
    return 1 / (counts[category_ids] / len(category_ids) + 0.02)
