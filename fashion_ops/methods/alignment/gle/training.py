"""Training of a GLE network on aligned garments, in memory or into a model folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fashion_ops.catalog.alignment.reader import AlignmentLandmarks
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.files.outputs import FolderKind
from fashion_ops.files.publishing import publish
from fashion_ops.methods.alignment.gle.config import GLEConfig
from fashion_ops.methods.alignment.gle.inference import METHOD, GLEPredictor
from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.module import GLEModule
from fashion_ops.methods.artifact import SPEC, WEIGHTS, read_spec, save_model
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.taxonomy.alignment import point_set

MODEL = FolderKind(
    "fashion-ops gle train", (SPEC, WEIGHTS), lambda folder: bool(read_spec(folder, METHOD))
)


def train_gle(
    config: GLEConfig,
    points: AlignmentLandmarks,
    read_image: Callable[[int], np.ndarray],
    *,
    landmarks: str = "fld8",
    seed: int = 0,
    options: TrainerOptions | None = None,
) -> GLEPredictor:
    """Train a network and return it ready to predict; ``save_gle`` writes its folder.

    Landmarks that a garment does not have add no loss.

    Args:
        config: network, targets, augmentation and optimisation.
        points: the training garments, with the landmarks of the point set ``landmarks``.
        read_image: returns the RGB uint8 image of an image id.
        landmarks: name of the point set.
        seed: of weights, order and augmentation.
        options: how the training is carried out.
    """
    kind = point_set(landmarks)
    torch.manual_seed(seed)
    model = GLE(
        config.backbone,
        kind.num_points,
        config.modules,
        config.pretrained,
        joined=config.warm_start == 0,
    )
    module = GLEModule(model, config, kind.mirror, seed)
    fit(module, Regions(as_garments(points), read_image, config.crop, config.padding), options)
    spec = {"method": METHOD, "points": landmarks, "settings": config.model_dump(mode="json")}
    return GLEPredictor(model.eval(), spec, next(model.parameters()).device)


def save_gle(folder: Path, predictor: GLEPredictor) -> None:
    """Write a model folder, as a whole.

    Raises:
        OutputRefused: the folder holds something else than a GLE model.
    """
    with publish(folder, MODEL) as fresh:
        save_model(fresh, predictor.model, predictor.spec)


def as_garments(points: AlignmentLandmarks) -> TrainingGarments:
    """Convert rows of the alignment catalog for ``Regions``; the clothes type is the category."""
    return TrainingGarments(
        points.image_id,
        points.clothes_type.astype(np.int64),
        points.box,
        np.concatenate([points.xy, points.visibility[..., None]], -1).astype(np.float32),
        np.zeros((len(points), 0), np.float32),
    )
