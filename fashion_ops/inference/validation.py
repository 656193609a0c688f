"""Landmark AP of a model that is still being trained, after each epoch, for those who watch a fan-out.

Judged are a few of the category's validation garments, in their own boxes and without the flip test:
official AP, but of so few that it says whether a run goes well, not how well. Nothing is chosen by it.
Not a step itself.
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
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.score import pose_score
from fashion_ops.taxonomy import category

WATCHED = 32  # garments at most

ReadImage = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Watch:
    """Labelled garments of one category and their images: those columns that judging reads."""

    images: pd.DataFrame
    garments: pd.DataFrame

    def __len__(self) -> int:
        return len(self.garments)

    @property
    def boxed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image (N,), box (N, 4) and category (N,) of each garment."""
        boxes = np.stack(self.garments["box"].to_list())
        kinds = self.garments["category_id"].to_numpy(np.int64)
        return self.garments["image_id"].to_numpy(), boxes, kinds

    def judge(self, landmarks: Sequence[np.ndarray], scores: Sequence[float]) -> dict[str, float]:
        """``AP`` of each garment's landmarks (n, 3), image pixels, and score."""
        flat = pd.Series([points.ravel() for points in landmarks], self.garments.index)
        found = self.garments.assign(score=scores, landmarks=flat)
        truth = ground_truth(self.images, self.garments)
        return {"AP": score_landmarks(truth, detections(found, self.images)).stats["AP"]}


def watch(catalog: Catalog, name: str, seed: int) -> Watch:
    """Up to ``WATCHED`` labelled validation garments of a category, drawn by the seed."""
    rows = catalog.garments
    rows = rows[(rows["split"] == "validation") & (rows["category_id"] == category(name).id)]
    rows = rows[rows["num_labelled"] > 0]
    drawn = np.random.default_rng(seed).permutation(len(rows))[:WATCHED]
    rows = rows.iloc[drawn].sort_values("image_id", kind="stable")
    images = catalog.images.loc[rows["image_id"].unique(), ["image_id", "coco_id", "split"]]
    columns = ["image_id", "garment_id", "category_id", "box", "landmarks"]
    return Watch(images.reset_index(drop=True), rows[columns].reset_index(drop=True))


@dataclass(frozen=True)
class LandmarkerJudge:
    """Judges a landmarker in training; ``spec`` is its ``model.json``. May be sent to a process."""

    watch: Watch
    spec: dict[str, Any]
    read_image: ReadImage

    def __call__(self, model: nn.Module) -> dict[str, float]:
        poses = self.poses(model)
        return self.watch.judge(poses, [pose_score(pose) for pose in poses])

    def poses(self, model: nn.Module) -> list[np.ndarray]:
        """Landmarks (n, 3) of each watched garment, image pixels."""
        device = next(model.parameters()).device
        predictor = LandmarkPredictor(model, {**self.spec, "flip_test": False}, device)  # type: ignore[arg-type]
        return predictor.predict(self.read_image, *self.watch.boxed)
