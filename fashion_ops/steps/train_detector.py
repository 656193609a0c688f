"""Step ``train_detector``: CenterNet with landmarks on whole images, all 13 categories at once."""

import numpy as np
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import checkpoint_path, load_garments, used_grouping
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.data import Images
from fashion_ops.methods.centernet.inference import METHOD
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.module import CenterNetModule, DetectorSettings
from fashion_ops.methods.centernet.random_crop import RandomCrop
from fashion_ops.methods.centernet.warm_start import start_from
from fashion_ops.methods.parts.augment import MEAN, STD, Warp
from fashion_ops.methods.parts.position_constraint import Constraint, left_and_right
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.params import Params, TrainDetector
from fashion_ops.taxonomy import Grouping
from fashion_ops.workspace import Workspace, publish


def detector_settings(p: TrainDetector, grouping: Grouping) -> DetectorSettings:
    """Augmentation, targets and losses that the parameters ask for."""
    scale, shift = (0.0, 0.0) if p.random_crop else (p.scale, p.shift)
    constraint = None
    if p.position_constraint:
        parts = left_and_right(grouping)
        constraint = Constraint(p.position_constraint, parts, p.position_constraint_k)
    return DetectorSettings(
        warp=Warp(flip=p.flip, scale=scale, shift=shift, color=p.color),
        center_radius=p.center_radius,
        center_reach=p.center_reach,
        category_weight=p.category_weight,
        jitter=p.jitter,
        lighting=p.lighting,
        constraint=constraint,
    )


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.detector``.

    Returns:
        images and garments it was trained on, epochs, the losses of the last epoch and, with
        ``start_from``, how many tensors were taken and how many were not (model.json names them).
    """
    p = params.train_detector
    grouping = used_grouping(ws)
    catalog = Catalog(ws.catalog)
    _, garments = load_garments(ws, "train", labelled=False)
    images = catalog.images[catalog.images["split"] == "train"]
    ids = images["image_id"].to_numpy()
    torch.manual_seed(params.seed)
    model = CenterNet(p.backbone, grouping.num_groups, p.neck_width, p.head_width, p.pretrained)
    start = start_from(model, ws.root / p.start_from) if p.start_from else None
    mirror = torch.from_numpy(grouping.mirror())
    module = CenterNetModule(model, p, detector_settings(p, grouping), mirror, params.seed)
    spec = {
        "method": METHOD,
        "grouping": grouping.name,
        **p.model_dump(include={"backbone", "input_size"}),
        "neck_width": model.neck_width,
        "head_width": model.head_width,
        **p.model_dump(include={"score_threshold", "precision"}),
        "mean": MEAN,
        "std": STD,
        "training": p.model_dump(mode="json", exclude={"start_from"}),  # a model's folder holds no path
    }
    if start is not None:
        spec["start"] = {"sha256": start.sha256, "fresh": start.fresh}
    crop = None
    if p.random_crop:
        crop = RandomCrop(images[["width", "height"]].to_numpy(np.int64), params.seed)
    checkpoint = checkpoint_path(ws, "train_detector", p, params.seed)
    with publish(ws.detector) as folder:
        history = fit(
            module,
            Images(ids, garments, catalog.image, p.input_size, crop),
            TrainerOptions(
                checkpoint=checkpoint,
                loader_workers=params.distributed.loader_workers,
                devices=params.distributed.devices,
                bar=True,
            ),
        )
        save_model(folder, model, spec, history)
    checkpoint.unlink(missing_ok=True)
    numbers = {"images": len(ids), "garments": len(garments), "epochs": p.epochs}
    if start is not None:
        numbers |= {"tensors_taken": start.taken, "tensors_fresh": len(start.fresh)}
    return {**numbers, **history[-1]}
