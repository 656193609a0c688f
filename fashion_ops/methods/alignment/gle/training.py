"""From aligned garments and images to a trained GLE network, in memory or as a model folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fashion_ops.catalog.alignment.reader import AlignmentLandmarks
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.alignment.gle.config import GLESettings
from fashion_ops.methods.alignment.gle.inference import METHOD, GLEPredictor
from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.module import GLEModule
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.position_constraint import Constraint, constraint_of
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import OnEpoch, TrainerOptions, fit
from fashion_ops.taxonomy.alignment import point_set


def train_gle(
    points: AlignmentLandmarks,
    read_image: Callable[[int], np.ndarray],
    settings: GLESettings,
    *,
    landmarks: str = "fld8",
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    bar: bool = False,
) -> GLEPredictor:
    """A network trained on garments; landmarks that a garment doesn't have cost nothing.

    Args:
        points: what to train on, in the slots of ``landmarks``.
        read_image: image id to RGB uint8.
        settings: of the run.
        landmarks: name of the point set.
        seed: of weights, order and augmentation.
        checkpoint: resume point.
        on_epoch: told the mean losses of each epoch.
        bar: show a progress bar.
    """
    kind = point_set(landmarks)
    torch.manual_seed(seed)
    late = settings.warm_start > 0
    model = GLE(
        settings.backbone, kind.num_points, settings.modules, settings.pretrained, joined=not late
    )
    module = GLEModule(
        model, settings, torch.from_numpy(kind.mirror), constraint(settings, kind.mirror), seed
    )
    data = Regions(as_garments(points), read_image, settings.crop, settings.padding)
    fit(module, data, TrainerOptions(checkpoint=checkpoint, on_epoch=on_epoch, bar=bar))
    spec = {"method": METHOD, "points": landmarks, "settings": settings.model_dump(mode="json")}
    return GLEPredictor(model.eval(), spec, next(model.parameters()).device)


def save_gle(folder: Path, predictor: GLEPredictor) -> None:
    """Write the model folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, predictor.model, predictor.spec)


def constraint(settings: GLESettings, mirror: np.ndarray) -> Constraint | None:
    """The position constraint that the settings ask for."""
    return constraint_of(
        settings.position_constraint,
        settings.position_constraint_k,
        settings.position_constraint_parts,
        mirror,
    )


def as_garments(points: AlignmentLandmarks) -> TrainingGarments:
    """Rows of the alignment catalog as ``Regions`` takes them; the category is the clothes type."""
    return TrainingGarments(
        points.image_id,
        points.clothes_type.astype(np.int64),
        points.box,
        np.concatenate([points.xy, points.visibility[..., None]], -1).astype(np.float32),
        np.zeros((len(points), 0), np.float32),
    )
