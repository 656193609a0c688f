"""The arms of the comparison: what a landmarker starts from, and what it is trained on.

All arms take the same number of steps, by the trainer of the pipeline. ``started`` goes on from a
trained landmarker, ``fresh`` has new neck and head on the backbone that the former began with. With the
wardrobe, ``real_share`` of the samples are of the labelled photos.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import predictions_table
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.parts.shape_fit import fit_shape_priors
from fashion_ops.methods.parts.shape_prior import ShapePrior, load_priors
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.inference import METHOD, LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker, warm_start
from fashion_ops.params import TrainLandmarker
from fashion_ops.taxonomy import Grouping, load_grouping

BATCH = 8
SHARE = 0.5  # of the photos, where the wardrobe is mixed in
STARTED_LR, FRESH_LR = 1e-3, 4e-3


@dataclass(frozen=True)
class Arm:
    """One line of the picture.

    Attributes:
        started: whether training starts from the trained landmarker.
        wardrobe: whether drawn garments are mixed in.
    """

    started: bool
    wardrobe: bool

    def label(self, start: str) -> str:
        """Its name, where the trained landmarker is called ``start``."""
        return (start if self.started else "fresh") + (" + wardrobe" if self.wardrobe else "")

    @property
    def key(self) -> str:
        """Its name in a path."""
        return ("started" if self.started else "fresh") + ("-wardrobe" if self.wardrobe else "")


ARMS = tuple(Arm(started, wardrobe) for started in (True, False) for wardrobe in (True, False))


@dataclass(frozen=True)
class Trainings:
    """What all trainings of a comparison have in common.

    Attributes:
        start: folder of the trained landmarker.
        steps: optimizer steps of each training.
        drawn: garments of the wardrobe, in the grouping of the start.
        read: image id to RGB uint8 (H, W, 3), of drawn images and of photos.
        device: where networks run.
        options: how trainings are carried out.
        priors: shape priors by whether an arm is ``started``: the start's, and the wardrobe's.
    """

    start: Path
    steps: int
    drawn: TrainingGarments
    read: Callable[[int], np.ndarray]
    device: torch.device
    options: TrainerOptions
    priors: dict[bool, dict[int, ShapePrior]]

    @classmethod
    def of(
        cls,
        start: Path,
        steps: int,
        drawn: TrainingGarments,
        read: Callable[[int], np.ndarray],
        device: torch.device,
        options: TrainerOptions,
    ) -> "Trainings":
        """Read the start's priors, and fit those of the wardrobe."""
        spec = read_spec(start, METHOD)
        labels = drawn.category_id, drawn.boxes, drawn.landmarks
        fitted = fit_shape_priors(load_grouping(spec["grouping"]), *labels)
        own = load_priors(start) if spec.get("decode_prior") else {}
        return cls(start, steps, drawn, read, device, options, {True: own, False: fitted})

    @property
    def spec(self) -> dict[str, Any]:
        """``model.json`` of the start."""
        return read_spec(self.start, METHOD)

    @property
    def grouping(self) -> Grouping:
        """Of the landmarks of all networks."""
        return load_grouping(self.spec["grouping"])

    def config(self, arm: Arm, mixed: bool) -> TrainLandmarker:
        """How an arm is trained: as the start was, in one pass over the samples drawn for it."""
        values = {"start_from": "", **self.spec["training"]}
        frozen = values.get("freeze_backbone", False)
        changes = {
            "epochs": 1,
            "lr_steps": None,
            "lr": STARTED_LR if arm.started else FRESH_LR,
            "batch_size": BATCH,
            "freeze_backbone": frozen and (arm.started or values.get("pretrained") is not None),
            "real_share": SHARE if mixed else None,
            "decode_prior": False,  # ``priors`` are given to the predictor
            "pseudo_label_weight": 0.0,
            "held_out": 0.0,
        }
        return TrainLandmarker.model_validate(values | changes)

    def samples(self, arm: Arm, labelled: TrainingGarments | None, seed: int) -> TrainingGarments:
        """The garments of one pass: as many as the steps take."""
        count, rng = self.steps * BATCH, np.random.default_rng(seed)
        if not arm.wardrobe:
            assert labelled is not None
            return labelled.take(_passes(len(labelled), count, rng))
        photos = [] if labelled is None else [labelled]
        rest = max(1, count - sum(map(len, photos)))
        return TrainingGarments.concatenate(
            [*photos, self.drawn.take(_passes(len(self.drawn), rest, rng))]
        )

    def untrained(self) -> LandmarkPipeline:
        """The start as it is."""
        predictor = LandmarkPredictor.load(self.start, self.device)
        return LandmarkPipeline(predictor, {}, {})

    def train(self, arm: Arm, labelled: TrainingGarments | None, seed: int) -> LandmarkPipeline:
        """Train an arm.

        Args:
            arm: which.
            labelled: garments on the labelled photos; None if there are none.
            seed: of the initialisation, of the drawn garments, of order and augmentation.
        """
        config = self.config(arm, mixed=arm.wardrobe and labelled is not None)
        torch.manual_seed(seed)
        pretrained = None if arm.started else config.pretrained
        groups = self.grouping.num_groups
        model = Landmarker(config.backbone, groups, 0, pretrained, config.head, config.crop)
        if arm.started:
            warm_start(model, self.start)
        spec = landmarker_spec(config, self.grouping.name, 0)
        garments = self.samples(arm, labelled, seed)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            train_landmarker(config, model, spec, garments, self.read, folder, self.options, seed=seed)
            predictor = LandmarkPredictor.load(folder, self.device)
        priors = self.priors[arm.started] if arm.started or arm.wardrobe else {}
        spec = {**predictor.spec, "decode_prior": bool(priors)}
        return LandmarkPipeline(replace(predictor, spec=spec, priors=priors), {}, {})

    def predict(self, pipeline: LandmarkPipeline, rows: pd.DataFrame) -> pd.DataFrame:
        """Predict the landmarks of garments (``schemas.GARMENTS``) in their labelled boxes."""
        ids, kinds = rows["image_id"].to_numpy(np.int64), rows["category_id"].to_numpy(np.int64)
        boxes = np.stack(rows["box"].to_list())
        found = pipeline.predict(self.read, ids, boxes, kinds, ("universal",), detected=False)[
            "universal"
        ]
        poses = [pose.ravel() for pose in found.landmarks]
        columns = ids, rows["garment_id"], kinds, found.scores, boxes, poses, found.deviations
        return predictions_table(list(zip(*columns, strict=True)))


def _passes(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of ``count`` samples: passes over ``size`` garments, each in an order of its own."""
    return np.concatenate([rng.permutation(size) for _ in range(-(-count // size))])[:count]
