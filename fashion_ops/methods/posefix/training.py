"""Training a refiner: from garments and the finetuned landmarker of one category to a model folder."""

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
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.posefix.data import predict_garments, stack_poses
from fashion_ops.methods.posefix.inference import METHOD
from fashion_ops.methods.posefix.model import HEATMAP_GAIN, LandmarkerPoseFix, PoseFix
from fashion_ops.methods.posefix.module import RefinerModule, RefinerSettings
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.params import CategoryTraining, Refine, TrainingConfig
from fashion_ops.taxonomy import Category
from fashion_ops.taxonomy import category as find_category


def refine_config(shared: Refine, run: CategoryTraining) -> TrainingConfig:
    """Make the optimisation of one category: lr and epochs from ``run``, the rest from ``shared``."""
    return TrainingConfig(
        lr=run.lr,
        epochs=run.epochs,
        batch_size=shared.batch_size,
        weight_decay=shared.weight_decay,
        precision=shared.precision,
    )


def refiner_spec(refine: Refine, landmarker: dict[str, Any], category: Category) -> dict[str, Any]:
    """Make the content of a refiner's ``model.json``.

    Args:
        refine: section ``refine``.
        landmarker: ``model.json`` of the landmarker, whose crop and padding the refiner shares.
        category: whose landmarks it refines.
    """
    return {
        "method": METHOD,
        "category": category.name,
        "backbone": refine.backbone,
        "trunk": landmarker["backbone"] if refine.backbone == "landmarker" else None,
        "pose_sigma": refine.pose_sigma,
        "crop": landmarker["crop"],
        "padding": landmarker["padding"],
        "flip_test": refine.flip_test,
        "precision": refine.precision,
        "training": refine.model_dump(mode="json"),
    }


def new_refiner(refine: Refine, landmarker: LandmarkPredictor, category: Category) -> nn.Module:
    """Build a refiner's network before training.

    Args:
        refine: its ``backbone`` is ``landmarker`` or a ResNet, which makes the published network.
        landmarker: finetuned for the category; ``landmarker`` copies its weights.
        category: whose landmarks are refined.
    """
    if refine.backbone != "landmarker":
        return PoseFix(refine.backbone, category.num_landmarks, refine.pose_sigma, refine.pretrained)
    network = landmarker.model
    assert isinstance(network, Landmarker)
    model = LandmarkerPoseFix(landmarker.spec["backbone"], category.num_landmarks, refine.pose_sigma)
    channels = torch.from_numpy(landmarker.grouping.channels(category.id))
    gain = 1.0 if landmarker.spec["heatmap"]["loss"] == "cross_entropy" else HEATMAP_GAIN
    model.load_landmarker(network.trunk, network.head, channels, gain)
    return model


def save_untrained(
    folder: Path, landmarker: LandmarkPredictor, refine: Refine, category: Category
) -> None:
    """Write the folder of a refiner without training, which predicts nearly what its landmarker does.

    Args:
        folder: where the model is written; exists and is empty.
        landmarker: finetuned for the category.
        refine: section ``refine``; its backbone is replaced by ``landmarker``.
        category: whose landmarks it refines.
    """
    refine = refine.model_copy(update={"backbone": "landmarker"})
    model = new_refiner(refine, landmarker, category)
    save_model(folder, model, refiner_spec(refine, landmarker.spec, category), history=[])


def train_refiner(
    config: TrainingConfig,
    refine: Refine,
    landmarker: LandmarkPredictor,
    garments: TrainingGarments,
    read_image: Callable[[int], np.ndarray],
    folder: Path,
    options: TrainerOptions | None = None,
    *,
    seed: int,
) -> list[dict[str, float]]:
    """Train a refiner for the predictions of a landmarker and write its folder.

    Args:
        config: the optimisation, see ``refine_config``.
        refine: network, input poses and augmentation.
        landmarker: finetuned for the category of the garments.
        garments: training data, one or more of one category, landmarks in the landmarker's grouping.
        read_image: image id to RGB uint8 (H, W, 3).
        folder: where the model is written; exists and is empty.
        options: how the run is carried out.
        seed: of initial weights, order, augmentation and synthetic errors.

    Returns:
        Mean losses of each epoch, and the metrics of ``options.validate``.
    """
    category = find_category(int(garments.category_id[0]))
    truth = landmarker.grouping.ungroup(category.id, garments.landmarks)
    predicted = predict_garments(landmarker.predict, read_image, garments)
    data = Regions(
        stack_poses(predicted, garments, truth),
        read_image,
        landmarker.crop,
        landmarker.spec["padding"],
        labelled=garments,
    )
    torch.manual_seed(seed)
    model = new_refiner(refine, landmarker, category)
    warp = Warp(refine.flip, refine.rotation, refine.scale, refine.shift, refine.color)
    settings = RefinerSettings(landmarker.crop, warp, refine.own_outputs)
    history = fit(RefinerModule(model, config, settings, category, seed), data, options)
    save_model(folder, model, refiner_spec(refine, landmarker.spec, category), history)
    return history
