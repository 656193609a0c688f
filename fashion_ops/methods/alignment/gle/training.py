"""Training of a GLE network on aligned garments, in memory or into a model folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fashion_ops.catalog.alignment.reader import AlignmentLandmarks
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.files.outputs import FolderKind
from fashion_ops.files.publishing import publish
from fashion_ops.methods.alignment.gle.inference import METHOD, GLEPredictor
from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.module import GLEModule
from fashion_ops.methods.alignment.gle.warm_start import warm_start
from fashion_ops.methods.artifact import SPEC, WEIGHTS, read_spec, save_model
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.params import GLEConfig
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
    start: Path | None = None,
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
        start: model or file that it starts from, see ``gle.warm_start``.

    Raises:
        FileNotFoundError: ``start`` holds no model and is no file.
        ValueError: nothing of ``start`` fits.
    """
    kind = point_set(landmarks)
    torch.manual_seed(seed)
    model = GLE(
        config.backbone,
        kind.num_points,
        config.modules,
        config.pretrained if start is None else None,
        joined=config.warm_start == 0,
    )
    started = None if start is None else warm_start(model, start)
    module = GLEModule(model, config, kind.mirror, seed)
    regions = Regions(as_garments(points), read_image, config.crop, config.padding)
    history = fit(module, regions, options)
    settings = config.model_dump(mode="json", include=set(GLEConfig.model_fields))
    spec = {"method": METHOD, "points": landmarks, "settings": settings}
    if started is not None:
        spec["start"] = started.spec
    device = next(model.parameters()).device
    return GLEPredictor(model.eval(), spec, device, tuple(history), started)


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
