"""Landmark AP of a model in training, after each epoch, to show how a run develops.

Evaluates up to ``MAX_GARMENTS`` validation garments of the category, in their labelled boxes and
without the flip test. AP of so few garments shows whether a run goes well, not how well; no decision
depends on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.methods.top_down.decode import pose_score
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import category

MAX_GARMENTS = 32

ReadImage = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class ValidationSet:
    """Labelled garments of one category and their images, with the columns that ``evaluate`` needs."""

    images: pd.DataFrame
    garments: pd.DataFrame

    def __len__(self) -> int:
        return len(self.garments)

    @property
    def boxes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image ids (N,), boxes (N, 4) in image pixels and category ids (N,) of the garments."""
        boxes = np.stack(self.garments["box"].to_list())
        category_ids = self.garments["category_id"].to_numpy(np.int64)
        return self.garments["image_id"].to_numpy(), boxes, category_ids

    def evaluate(self, landmarks: Sequence[np.ndarray], scores: Sequence[float]) -> dict[str, float]:
        """Compute the landmark ``AP`` of one prediction for each garment.

        Args:
            landmarks: (n, 3) each, x and y in image pixels; the third column is not used.
            scores: confidence of each prediction.
        """
        columns = pd.Series([points.ravel() for points in landmarks], self.garments.index)
        predictions = self.garments.assign(score=scores, landmarks=columns)
        truth = ground_truth(self.images, self.garments)
        return {"AP": score_landmarks(truth, detections(predictions, self.images)).stats["AP"]}


def validation_set(catalog: Catalog, name: str, seed: int) -> ValidationSet:
    """Draw up to ``MAX_GARMENTS`` validation garments of a category that have labelled landmarks.

    Args:
        catalog: provides the garments.
        name: of the category.
        seed: of the drawing.
    """
    rows = catalog.garments
    rows = rows[(rows["split"] == "validation") & (rows["category_id"] == category(name).id)]
    rows = rows[rows["num_labelled"] > 0]
    drawn = np.random.default_rng(seed).permutation(len(rows))[:MAX_GARMENTS]
    rows = rows.iloc[drawn].sort_values("image_id", kind="stable")
    images = catalog.images.loc[rows["image_id"].unique(), ["image_id", "coco_id", "split"]]
    columns = ["image_id", "garment_id", "category_id", "box", "landmarks"]
    return ValidationSet(images.reset_index(drop=True), rows[columns].reset_index(drop=True))


@dataclass(frozen=True)
class LandmarkerValidation:
    """AP of a landmarker in training on a validation set; a ``Validate`` of ``TrainerOptions``.

    ``spec`` is the landmarker's ``model.json``. Pickles, as training on several devices requires.
    """

    data: ValidationSet
    spec: dict[str, Any]
    read_image: ReadImage

    def __call__(self, model: nn.Module) -> dict[str, float]:
        poses = self.predict(model)
        return self.data.evaluate(poses, [pose_score(pose) for pose in poses])

    def predict(self, model: nn.Module) -> list[np.ndarray]:
        """Predict the landmarks (n, 3) of each garment of the set: x and y in image pixels, score."""
        device = next(model.parameters()).device
        predictor = LandmarkPredictor(model, {**self.spec, "flip_test": False}, device)
        return predictor.predict(self.read_image, *self.data.boxes)
