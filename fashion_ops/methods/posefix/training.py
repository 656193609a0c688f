"""Training a refiner: from garments and the finetuned landmarker of one category to a model folder."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.shape_fit import fit_shape_prior
from fashion_ops.methods.parts.shape_prior import save_priors
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.posefix.data import RefinerData, predict_garments, stack_poses
from fashion_ops.methods.posefix.error_rates import measure_rates
from fashion_ops.methods.posefix.inference import METHOD
from fashion_ops.methods.posefix.model import HEATMAP_GAIN, LandmarkerPoseFix, PoseFix
from fashion_ops.methods.posefix.module import RefinerModule, RefinerSettings
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_warp
from fashion_ops.params import CategoryTraining, Refine, TrainingConfig
from fashion_ops.taxonomy import Category
from fashion_ops.taxonomy import category as find_category


def refine_config(shared: Refine, run: CategoryTraining) -> TrainingConfig:
    """Make the optimisation of one category: lr and epochs from ``run``, the rest from ``shared``.

    The learning rate falls to a tenth after each share ``lr_drops`` of the run, rounded to epochs; a
    step of no epoch is left out. Without any it follows one cycle.
    """
    steps = None
    if shared.lr_drops:
        ends = [0, *(round(share * run.epochs) for share in shared.lr_drops), run.epochs]
        steps = tuple((b - a, run.lr / 10**i) for i, (a, b) in enumerate(pairwise(ends)) if b > a)
    return TrainingConfig(
        lr=steps[0][1] if steps else run.lr,
        lr_steps=steps,
        clip_gradients=shared.clip_gradients,
        epochs=run.epochs,
        batch_size=shared.batch_size,
        weight_decay=shared.weight_decay,
        precision=shared.precision,
    )


def refiner_spec(
    refine: Refine,
    landmarker: dict[str, Any],
    category: Category,
    rates: Float[Tensor, "n 5"] | None = None,
    *,
    takes_pose: bool = True,
) -> dict[str, Any]:
    """Make the content of a refiner's ``model.json``, without a shape prior.

    Args:
        refine: section ``refine``.
        landmarker: ``model.json`` of the landmarker, whose crop and padding the refiner shares.
        category: whose landmarks it refines.
        rates: measured probabilities of errors that it was trained with, if any.
        takes_pose: see ``RefinerSettings``.
    """
    return {
        "method": METHOD,
        "category": category.name,
        "backbone": refine.backbone,
        "trunk": landmarker["backbone"] if refine.backbone == "landmarker" else None,
        "pose_sigma": refine.pose_sigma,
        "takes_pose": takes_pose,
        "box": refine.box,
        "error_rates": None if rates is None else [[round(v, 4) for v in r] for r in rates.tolist()],
        "crop": landmarker["crop"],
        "padding": landmarker["padding"],
        "flip_test": refine.flip_test,
        "decode_prior": False,
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
    model = LandmarkerPoseFix(
        landmarker.spec["backbone"], category.num_landmarks, refine.pose_sigma, landmarker.crop
    )
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
    data: RefinerData,
    folder: Path,
    options: TrainerOptions | None = None,
    *,
    seed: int,
) -> list[dict[str, float]]:
    """Train a refiner for the poses that a model predicts and write its folder.

    Args:
        config: the optimisation, see ``refine_config``.
        refine: network, input poses and augmentation.
        landmarker: finetuned for the category of the garments; gives the crop, the network that
            ``refine.backbone`` may start from and, unless ``data`` has others, the poses.
        data: one or more garments.
        folder: where the model is written; exists and is empty.
        options: how the run is carried out.
        seed: of initial weights, order, augmentation and synthetic errors.

    Returns:
        Mean losses of each epoch, and the metrics of ``options.validate``.
    """
    garments = data.garments
    category = find_category(int(garments.category_id[0]))
    truth = landmarker.grouping.ungroup(category.id, garments.landmarks)
    predicted = data.predicted
    if predicted is None:
        predicted = predict_garments(landmarker.predict, data.read_image, garments)
    rates = None
    if refine.error_rates == "measured":
        rates = measure_rates(predicted, garments, truth, category)
    warp = landmarker_warp(refine)
    regions = Regions(
        stack_poses(predicted, garments, truth),
        data.read_image,
        landmarker.crop,
        landmarker.spec["padding"],
        labelled=garments,
        warp=warp,
    )
    torch.manual_seed(seed)
    model = new_refiner(refine, landmarker, category)
    settings = RefinerSettings(landmarker.crop, warp, refine.own_outputs, rates, data.takes_pose)
    history = fit(RefinerModule(model, config, settings, category, seed), regions, options)
    spec = refiner_spec(refine, landmarker.spec, category, rates, takes_pose=data.takes_pose)
    prior = fit_shape_prior(truth, garments.boxes) if refine.decode_prior else None
    if prior is not None:
        save_priors(folder, {category.id: prior})
    save_model(folder, model, {**spec, "decode_prior": prior is not None}, history)
    return history
