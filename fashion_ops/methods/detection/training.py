"""Training a box detector: from the catalog's images and garments to a model folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.detection.data import LabelledImages, labels_of
from fashion_ops.methods.detection.inference import METHOD
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN
from fashion_ops.methods.detection.module import DetectionModule
from fashion_ops.methods.parts.augment import MEAN, STD
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.params import TrainBoxDetector


def detector_spec(config: TrainBoxDetector) -> dict[str, Any]:
    """Make the ``model.json`` of a box detector trained with ``config``."""
    return {
        "method": METHOD,
        **vars(Architecture.of(config.model_dump())),
        "score_threshold": config.score_threshold,
        "scales": [side / config.short_side for side in config.test_short_sides] or [1.0],
        "flip_test": config.flip_test,
        "precision": config.precision,
        "mean": MEAN,
        "std": STD,
        "training": config.model_dump(mode="json"),
    }


def untrained_model(config: TrainBoxDetector) -> CascadeRCNN:
    """Build the network of a configuration; torch's global generator initialises its weights.

    Raises:
        ValueError: unknown backbone or weights.
        OSError: the pretrained weights can't be loaded.
    """
    architecture = Architecture.of(config.model_dump())
    return CascadeRCNN(architecture, config.pretrained, config.short_sides or None)


def train_box_detector(
    config: TrainBoxDetector,
    model: CascadeRCNN,
    image_ids: np.ndarray,
    garments: pd.DataFrame,
    read_image: Callable[[int], np.ndarray],
    folder: Path,
    seed: int,
    options: TrainerOptions | None = None,
) -> list[dict[str, float]]:
    """Train ``model`` in place and write its folder.

    Args:
        config: network, augmentation and optimisation.
        model: of ``untrained_model`` with the same ``config``.
        image_ids: images to train on, including those without garments.
        garments: rows of the catalog; those on these images.
        read_image: image id to RGB uint8 (H, W, 3).
        folder: existing, empty folder for the model.
        seed: of order and augmentation.
        options: how the run is carried out.

    Returns:
        Mean losses of each epoch.

    Raises:
        ValueError: a garment has an empty box, or no polygon where HTC needs its mask.
    """
    masks = model.architecture.kind == "htc"
    images = LabelledImages(image_ids, labels_of(garments, masks=masks), read_image, masks=masks)
    history = fit(DetectionModule(model, config, config.flip, seed), images, options)
    save_model(folder, model, detector_spec(config), history)
    return history
