"""From one category's garments and its finetuned landmarker to a refiner folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.augment import Warp
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import OnEpoch, TrainerOptions, Validate, fit
from fashion_ops.methods.posefix.data import own_outputs, stack_points
from fashion_ops.methods.posefix.inference import METHOD
from fashion_ops.methods.posefix.model import HEATMAP_GAIN, LandmarkerPoseFix, PoseFix
from fashion_ops.methods.posefix.module import RefinerModule, RefinerSettings
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.params import Refine, TrainingConfig
from fashion_ops.taxonomy import Category


def refiner_spec(params: Refine, landmarker: dict[str, Any], category: Category) -> dict[str, Any]:
    """The ``model.json`` of a refiner; crop and padding are the landmarker's."""
    return {
        "method": METHOD,
        "category": category.name,
        "backbone": params.backbone,
        "trunk": landmarker["backbone"] if params.backbone == "landmarker" else None,
        "pose_sigma": params.pose_sigma,
        "crop": landmarker["crop"],
        "padding": landmarker["padding"],
        "flip_test": params.flip_test,
        "precision": params.precision,
        "training": params.model_dump(mode="json"),
    }


def new_refiner(params: Refine, landmarker: LandmarkPredictor, category: Category) -> nn.Module:
    """The network before training: from the landmarker's weights, or the published one."""
    if params.backbone != "landmarker":
        return PoseFix(params.backbone, category.num_landmarks, params.pose_sigma, params.pretrained)
    model = LandmarkerPoseFix(landmarker.spec["backbone"], category.num_landmarks, params.pose_sigma)
    channels = torch.from_numpy(landmarker.grouping.channels(category.id))
    gain = 1.0 if landmarker.spec["heatmap"]["loss"] == "cross_entropy" else HEATMAP_GAIN
    model.start_from(landmarker.model.trunk, landmarker.model.head, channels, gain)
    return model


def save_untrained(
    folder: Path, landmarker: LandmarkPredictor, params: Refine, category: Category
) -> None:
    """Write the folder of a refiner that nothing was there to train: it does as its landmarker does.

    Args:
        folder: where it goes; exists and is empty.
        landmarker: of the category.
        params: section ``refine``; the backbone is ``landmarker`` whatever it says.
        category: which one.
    """
    params = params.model_copy(update={"backbone": "landmarker"})
    save_model(
        folder,
        new_refiner(params, landmarker, category),
        refiner_spec(params, landmarker.spec, category),
        history=[],
    )


def train_refiner(
    folder: Path,
    landmarker: LandmarkPredictor,
    params: Refine,
    run: TrainingConfig,
    category: Category,
    garments: TrainingGarments,
    read_image: Callable[[int], np.ndarray],
    *,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    judge: Validate | None = None,
    devices: int = 1,
) -> list[dict[str, float]]:
    """Train a refiner of ``landmarker``'s outputs and write its folder.

    Args:
        folder: where the model goes; exists and is empty.
        landmarker: finetuned for the category.
        params: section ``refine``.
        run: learning rate, epochs, batch size.
        category: whose garments these are.
        garments: of this category, landmarks in the landmarker's grouping.
        read_image: image id to RGB uint8.
        seed: of initial weights, order, augmentation and errors.
        checkpoint: resume point.
        on_epoch: told the numbers of each epoch.
        judge: adds its own to them; see ``fit``.
        devices: how many share the run; see ``fit``.

    Returns:
        Mean losses of each epoch, and what ``judge`` found.
    """
    truth = landmarker.grouping.ungroup(category.id, garments.landmarks)
    own = own_outputs(landmarker.predict, read_image, garments)
    data = Regions(
        stack_points(own, garments, truth), read_image, landmarker.crop, landmarker.spec["padding"]
    )
    torch.manual_seed(seed)
    model = new_refiner(params, landmarker, category)
    warp = Warp(params.flip, params.rotation, params.scale, params.shift, params.color)
    settings = RefinerSettings(landmarker.crop, warp, params.own_outputs)
    module = RefinerModule(model, run, settings, category, seed)
    history = fit(
        module,
        data,
        TrainerOptions(checkpoint=checkpoint, on_epoch=on_epoch, validate=judge, devices=devices),
    )
    save_model(folder, model, refiner_spec(params, landmarker.spec, category), history)
    return history
