"""What a trained network predicts for labelled garments: errors, scores, standard deviations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.evaluation.calibration import near_radius
from fashion_ops.inference.predictions import predictions_table
from fashion_ops.methods.top_down.decode import pose_score
from fashion_ops.methods.top_down.inference import LandmarkPredictor


@dataclass(frozen=True)
class Predicted:
    """Labelled landmarks of many garments, all in one row, in pixels of the image.

    Attributes:
        distances: from the true landmark.
        scores: 0..1.
        stds: predicted standard deviations of the distance; NaN without an RLE head.
        radii: distances at which a landmark's similarity is 1/2.
        poses: (n, 3) x, y, score of each garment.
    """

    distances: np.ndarray
    scores: np.ndarray
    stds: np.ndarray
    radii: np.ndarray
    poses: list[np.ndarray]

    @property
    def near(self) -> np.ndarray:
        """Whether each landmark has a similarity of at least 1/2."""
        return self.distances <= self.radii

    @property
    def trust(self) -> np.ndarray:
        """What ranks the landmarks: minus the deviation if there is one, or the score."""
        return self.scores if np.isnan(self.stds).any() else -self.stds


def predict(model: LandmarkPredictor, catalog: Catalog, garments: TrainingGarments) -> Predicted:
    """Predict the landmarks of garments in their labelled boxes.

    Args:
        model: the landmarker.
        catalog: of the images.
        garments: sorted by image, their landmarks in the grouping of the model.
    """
    arguments = catalog.image, garments.image_id, garments.boxes, garments.category_id
    if model.decoding.head == "rle":
        poses = model.predict_with_std(*arguments)
    else:
        poses = [np.pad(p, ((0, 0), (0, 1)), constant_values=np.nan) for p in model.predict(*arguments)]
    sides = garments.boxes[:, 2:] - garments.boxes[:, :2]
    areas = np.maximum(sides, 1).prod(1)
    columns = []
    for pose, c, points, area in zip(
        poses, garments.category_id, garments.landmarks, areas, strict=True
    ):
        truth = model.grouping.ungroup(int(c), points)
        far = np.linalg.norm(pose[:, :2] - truth[:, :2], axis=1)
        values = np.stack([far, pose[:, 2], pose[:, 3], near_radius(int(c), area[None])[0]])
        columns.append(values[:, truth[:, 2] > 0])
    flat = np.concatenate(columns, 1).astype(float)
    distances, scores, stds, radii = flat
    return Predicted(distances, scores, stds, radii, [pose[:, :3] for pose in poses])


def rank_correlation(predicted: Predicted) -> float:
    """Spearman's correlation of the real error with what the network says of it."""
    result: Any = spearmanr(predicted.distances, -predicted.trust)
    return float(result.statistic)


def as_table(rows: pd.DataFrame, predicted: Predicted) -> pd.DataFrame:
    """The poses as ``schemas.PREDICTIONS``; ``rows`` are the same garments of the catalog."""
    columns = zip(
        rows["image_id"],
        rows["garment_id"],
        rows["category_id"],
        rows["box"],
        predicted.poses,
        strict=True,
    )
    return predictions_table(
        [
            (image, garment, c, pose_score(pose), box, pose.ravel())
            for image, garment, c, box, pose in columns
        ]
    )
