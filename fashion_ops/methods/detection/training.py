"""From a catalog's images and garments to a detector's folder."""

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
from fashion_ops.methods.parts.trainer import OnEpoch, TrainerOptions, fit
from fashion_ops.params import TrainingConfig


def detector_spec(
    architecture: Architecture,
    run: TrainingConfig,
    score_threshold: float,
    training: dict[str, Any],
    scales: tuple[float, ...] = (1.0,),
    flip_test: bool = False,
) -> dict[str, Any]:
    """The ``model.json`` of a detector.

    Args:
        architecture: the network.
        run: how it is optimised.
        score_threshold: garments below are not told.
        training: all parameters of the run, for the record.
        scales: of both sides at test, a look at an image each.
        flip_test: look at the mirrored image too.
    """
    return {
        "method": METHOD,
        **vars(architecture),
        "score_threshold": score_threshold,
        "scales": list(scales),
        "flip_test": flip_test,
        "precision": run.precision,
        "mean": MEAN,
        "std": STD,
        "training": training,
    }


def train_detector(
    folder: Path,
    model: CascadeRCNN,
    spec: dict[str, Any],
    run: TrainingConfig,
    image_ids: np.ndarray,
    garments: pd.DataFrame,
    read_image: Callable[[int], np.ndarray],
    *,
    flip: float,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    loader_workers: int = 0,
    bar: bool = False,
) -> list[dict[str, float]]:
    """Train ``model`` and write its folder.

    Args:
        folder: where the model goes; exists and is empty.
        model: fresh.
        spec: see ``detector_spec``.
        run: learning rate, epochs, batch size.
        image_ids: images to train on, also those without garments.
        garments: of the catalog; those of these images.
        read_image: image id -> RGB uint8 (H, W, 3).
        flip: probability of mirroring an image.
        seed: of order and augmentation.
        checkpoint: resume point.
        on_epoch: told the mean losses of each epoch.
        loader_workers: processes that read images.
        bar: show a progress bar.

    Returns:
        Mean losses of each epoch.

    Raises:
        ValueError: a garment with an empty box, or without a polygon where HTC needs its mask.
    """
    masks = model.architecture.kind == "htc"
    images = LabelledImages(image_ids, labels_of(garments, masks=masks), read_image, masks=masks)
    history = fit(
        DetectionModule(model, run, flip, seed),
        images,
        TrainerOptions(
            checkpoint=checkpoint, on_epoch=on_epoch, loader_workers=loader_workers, bar=bar
        ),
    )
    save_model(folder, model, spec, history)
    return history
