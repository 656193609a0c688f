"""Training a landmarker, universal or finetuned: from garments and images to a model folder."""

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.errors.reading import read_weights
from fashion_ops.methods.artifact import SPEC, WEIGHTS, read_spec, save_model
from fashion_ops.methods.parts.augment import Warp
from fashion_ops.methods.parts.position_constraint import Constraint, left_and_right
from fashion_ops.methods.parts.real_share import share_weights
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.shape_fit import fit_shape_priors
from fashion_ops.methods.parts.shape_prior import load_priors, save_priors
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.parts.warm_start import WarmStart, take_fitting
from fashion_ops.methods.top_down.decode import DecodeConfig
from fashion_ops.methods.top_down.inference import METHOD
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.module import LandmarkerModule, LandmarkerSettings
from fashion_ops.params import CategoryTraining, Finetune, Refine, TrainLandmarker
from fashion_ops.taxonomy import load_grouping


def landmarker_spec(config: TrainLandmarker, grouping: str, clusters: int) -> dict[str, Any]:
    """Make the content of ``model.json`` for a landmarker before its training with ``config``.

    Args:
        config: of the universal landmarker.
        grouping: name of the grouping that the output channels follow.
        clusters: pseudo-labels a category; 0 for a network without that head.
    """
    return {
        "method": METHOD,
        "backbone": config.backbone,
        "grouping": grouping,
        "clusters": clusters,
        "crop": list(config.crop),
        "padding": config.padding,
        "heatmap": {"loss": config.loss, "sigma": config.heatmap_sigma},
        **asdict(DecodeConfig.from_spec(config.model_dump())),
        "smoothing": config.heatmap_sigma if config.smooth else 0.0,
        "decode_prior": False,  # ``train_landmarker`` estimates the priors
        "precision": config.precision,
        "training": training_record(config),
    }


def training_record(config: TrainLandmarker) -> dict[str, Any]:
    """The configuration for ``model.json``, which contains no path, so ``start_from`` is left out."""
    return config.model_dump(mode="json", exclude={"start_from"})


def check_trained_as(folder: Path, config: TrainLandmarker, grouping: str) -> None:
    """Check that the landmarker in ``folder`` was trained with ``config`` on ``grouping``.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: it is of another method, or a parameter differs; the message names each.
    """
    spec = read_spec(folder, METHOD)
    trained = TrainLandmarker.model_validate({"start_from": "", **spec["training"]}).model_dump()
    actual = {**trained, "grouping": spec["grouping"], "backbone": spec["backbone"]}
    expected = {**config.model_dump(exclude={"start_from"}), "grouping": grouping}
    differ = [f"{k} {actual[k]} (now {v})" for k, v in expected.items() if actual[k] != v]
    if differ:
        raise ValueError(
            f"{folder}: a landmarker of {', '.join(differ)}; run train_landmarker with these "
            "parameters, or set them back"
        )


def finetune_config(
    universal: TrainLandmarker, shared: Finetune, run: CategoryTraining
) -> TrainLandmarker:
    """Make the configuration of one category: the universal one with another optimisation.

    Args:
        universal: settings of the network that is finetuned.
        shared: what all categories share. After each epoch of ``lr_drops`` the learning rate falls to a
            tenth; without any it follows one cycle.
        run: learning rate and epochs of this category.

    Raises:
        ValueError: ``lr_drops`` do not rise, or reach past the last epoch.
    """
    ends = [0, *shared.lr_drops, run.epochs]
    lr_steps = None
    if shared.lr_drops:
        if any(a >= b for a, b in pairwise(ends)):
            raise ValueError(
                f"finetune.lr_drops {list(shared.lr_drops)}: must rise, and end before the last epoch, "
                f"{run.epochs}"
            )
        lr_steps = tuple((b - a, run.lr / 10**i) for i, (a, b) in enumerate(pairwise(ends)))
    changes = {
        "lr": run.lr,
        "epochs": run.epochs,
        "lr_steps": lr_steps,
        "batch_size": shared.batch_size,
        "weight_decay": shared.weight_decay,
        "clip_gradients": shared.clip_gradients,
        "precision": shared.precision,
        "flip": shared.flip,
    }
    return TrainLandmarker.model_validate({**universal.model_dump(), **changes})


def warm_start(model: Landmarker, folder: Path) -> WarmStart:
    """Copy all tensors that fit from another landmarker into ``model``, in place.

    Args:
        model: the network to train.
        folder: of the other landmarker.

    Raises:
        FileNotFoundError: it holds no model.
        ValueError: it is a model of another method, or none of its parameters fits.
    """
    read_spec(folder, METHOD)
    file = folder / WEIGHTS
    return take_fitting(model, read_weights(file), file, "train_landmarker.start_from")


def inherit_priors(folder: Path, start: Path) -> None:
    """Give a trained landmarker the shape priors of the one that it started from, where it has none.

    A few labels of a category are too few for a prior (``LEAST_GARMENTS``), and without one the
    landmarks would be worse than those of the start.

    Args:
        folder: of the trained landmarker, in place.
        start: folder of the other one.
    """
    spec, before = read_spec(folder, METHOD), read_spec(start, METHOD)
    if not spec["training"]["decode_prior"] or not before.get("decode_prior"):
        return
    own = load_priors(folder) if spec["decode_prior"] else {}
    save_priors(folder, {**load_priors(start), **own})
    content = json.dumps({**spec, "decode_prior": True}, indent=2, sort_keys=True) + "\n"
    (folder / SPEC).write_text(content, encoding="utf-8")


def landmarker_warp(config: TrainLandmarker | Refine) -> Warp:
    """Make the augmentation of a landmarker or a refiner, that of HRNet and PoseFix."""
    return Warp(
        flip=config.flip,
        rotation=config.rotation,
        side=config.scale,
        shift=config.shift,
        color=config.color,
        rotated=config.rotation_probability,
    )


def train_landmarker(
    config: TrainLandmarker,
    model: Landmarker,
    spec: dict[str, Any],
    garments: TrainingGarments,
    read_image: Callable[[int], np.ndarray],
    folder: Path,
    options: TrainerOptions | None = None,
    *,
    seed: int,
) -> list[dict[str, float]]:
    """Train ``model`` and write its folder.

    The pseudo-label loss is used where the garments have soft labels.

    Args:
        config: crop, augmentation, losses and optimisation.
        model: new for the universal landmarker; the universal one for finetuning.
        spec: its ``model.json``, see ``landmarker_spec``; ``training`` is replaced by ``config``, and
            ``decode_prior`` says whether the folder has shape priors.
        garments: training data, landmarks in the grouping of ``spec``.
        read_image: image id to RGB uint8 (H, W, 3).
        folder: where the model is written; exists and is empty.
        options: how the run is carried out.
        seed: of order and augmentation.

    Returns:
        Mean losses of each epoch, and the metrics of ``options.validate``.

    Raises:
        ValueError: the garments are of another grouping, ``real_share`` cannot be had of them, or the
            checkpoint is of another run.
    """
    grouping = load_grouping(spec["grouping"])
    if garments.landmarks.shape[1] != grouping.num_groups:
        raise ValueError(
            f"the garments have {garments.landmarks.shape[1]} landmark channels, the model's grouping "
            f"{grouping.name} has {grouping.num_groups}: they must be of one grouping"
        )
    constraint = None
    if config.position_constraint:
        parts = left_and_right(grouping)
        constraint = Constraint(config.position_constraint, parts, config.position_constraint_k)
    warp = landmarker_warp(config)
    settings = LandmarkerSettings(
        crop=config.crop,
        heatmap_sigma=config.heatmap_sigma,
        loss=config.loss,
        warp=warp,
        decoding=DecodeConfig.from_spec(spec),
        constraint=constraint,
        label_alpha=config.pseudo_label_weight if garments.soft_labels.shape[1] else 0.0,
        label_decay=config.pseudo_label_decay,
    )
    if config.freeze_backbone:
        model.freeze_backbone()
    module = LandmarkerModule(model, spec["backbone"], config, settings, grouping, seed)
    history = fit(
        module,
        Regions(garments, read_image, config.crop, config.padding, warp=warp),
        options,
        weights=sample_weights(config, garments),
    )
    priors = {}
    if config.decode_prior:
        labels = garments.category_id, garments.boxes, garments.landmarks
        priors = fit_shape_priors(grouping, *labels)
    if priors:
        save_priors(folder, priors)
    written = {"decode_prior": bool(priors), "training": training_record(config)}
    save_model(folder, model, {**spec, **written}, history)
    return history


def sample_weights(config: TrainLandmarker, garments: TrainingGarments) -> np.ndarray | None:
    """Compute the relative frequency (N,) of each garment; None draws each once an epoch.

    Raises:
        ValueError: ``real_share`` is set, and the garments do not say which are on photos, or all are,
            or none is.
    """
    weights = balanced_weights(garments.category_id) if config.balanced_sampling else None
    if config.real_share is None:
        return weights
    return share_weights(config.real_share, garments.real, "train_landmarker", weights)


def balanced_weights(category_ids: np.ndarray) -> np.ndarray:
    """Compute weights (N,) of class-balanced sampling: 1 / (share of the garment's category + 0.02).

    The third place of the 2020 challenge did so. The constant bounds the weight of the rarest category.
    """
    counts = np.bincount(category_ids)
    return 1 / (counts[category_ids] / len(category_ids) + 0.02)
