"""Training a CenterNet detector: from images and garments to a model folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.data import Images
from fashion_ops.methods.centernet.inference import METHOD
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.module import CenterNetModule, DetectorSettings
from fashion_ops.methods.centernet.random_crop import RandomCrop
from fashion_ops.methods.centernet.warm_start import warm_start
from fashion_ops.methods.parts.augment import MEAN, STD, Warp
from fashion_ops.methods.parts.position_constraint import Constraint, left_and_right
from fashion_ops.methods.parts.real_share import share_weights
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.parts.warm_start import WarmStart
from fashion_ops.params import TrainDetector
from fashion_ops.taxonomy import Grouping


@dataclass(frozen=True)
class DetectorData:
    """The images that a detector is trained on.

    Attributes:
        images: rows with image_id, width and height in pixels.
        garments: all garments on them, with the channels of ``grouping``.
        grouping: of the landmarks.
        read_image: image id to RGB uint8 (H, W, 3); see ``Images``.
        real: bool (N,), which images are photos; only ``real_share`` needs it.
    """

    images: pd.DataFrame
    garments: TrainingGarments
    grouping: Grouping
    read_image: Callable[..., np.ndarray]
    real: np.ndarray | None = None


def detector_settings(config: TrainDetector, grouping: Grouping) -> DetectorSettings:
    """Derive augmentation, targets and losses from a configuration."""
    scale, shift = (0.0, 0.0) if config.random_crop else (config.scale, config.shift)
    constraint = None
    if config.position_constraint:
        parts = left_and_right(grouping)
        constraint = Constraint(config.position_constraint, parts, config.position_constraint_k)
    return DetectorSettings(
        warp=Warp(flip=config.flip, scale=scale, shift=shift, color=config.color),
        center_radius=config.center_radius,
        center_reach=config.center_reach,
        category_weight=config.category_weight,
        jitter=config.jitter,
        lighting=config.lighting,
        constraint=constraint,
    )


def detector_spec(
    config: TrainDetector, grouping: Grouping, model: CenterNet, warm: WarmStart | None
) -> dict[str, Any]:
    """Make the ``model.json`` of a detector; it contains no path, so ``start_from`` is left out.

    Args:
        config: the configuration that the detector was trained with.
        grouping: of its landmarks.
        model: the network, which knows the widths.
        warm: what the warm start copied; None without one.
    """
    spec = {
        "method": METHOD,
        "grouping": grouping.name,
        **config.model_dump(include={"backbone", "input_size"}),
        "neck_width": model.neck_width,
        "head_width": model.head_width,
        **config.model_dump(include={"score_threshold", "precision"}),
        "mean": MEAN,
        "std": STD,
        "training": config.model_dump(mode="json", exclude={"start_from"}),
    }
    if warm is not None:
        spec["start"] = warm.spec
    return spec


def train_detector(
    config: TrainDetector,
    data: DetectorData,
    folder: Path,
    seed: int,
    options: TrainerOptions | None = None,
    initial_weights: Path | None = None,
    *,
    pretrained: str | None = None,
) -> tuple[list[dict[str, float]], WarmStart | None]:
    """Train a detector and write its model folder.

    Args:
        config: network, augmentation, losses and optimisation; its ``start_from`` is ignored.
        data: the training images.
        folder: existing, empty folder for the model.
        seed: of initialisation, order and augmentation.
        options: how the run is carried out.
        initial_weights: folder of a detector, or a file that CenterNet published, for a warm start;
            None initialises from scratch.
        pretrained: path of the weights that ``config.pretrained`` names; None takes that itself.

    Returns:
        Mean losses of each epoch, and what the warm start copied, or None without one.

    Raises:
        FileNotFoundError: ``initial_weights`` is no file and holds no model.
        ValueError: the backbone or its widths do not exist, no initial weight fits, ``real_share``
            cannot be had of the images, or there are none.
        OSError: pretrained weights can't be loaded.
    """
    torch.manual_seed(seed)
    groups = data.grouping.num_groups
    pretrained = pretrained or config.pretrained
    model = CenterNet(config.backbone, groups, config.neck_width, config.head_width, pretrained)
    warm = None if initial_weights is None else warm_start(model, initial_weights, config.backbone)
    if config.freeze_backbone:
        model.freeze_backbone()
    mirror = torch.from_numpy(data.grouping.mirror())
    settings = detector_settings(config, data.grouping)
    module = CenterNetModule(model, config, settings, mirror, seed)
    crop = None
    if config.random_crop:
        crop = RandomCrop(data.images[["width", "height"]].to_numpy(np.int64), seed)
    ids = data.images["image_id"].to_numpy()
    images = Images(ids, data.garments, data.read_image, config.input_size, crop)
    weights = None
    if config.real_share is not None:
        weights = share_weights(config.real_share, data.real, "train_detector")
    history = fit(module, images, options, weights)
    save_model(folder, model, detector_spec(config, data.grouping, model, warm), history)
    return history, warm
