"""Landmark predictions of models on given boxes, their AP and distances; shared by several papers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fashion_ops.evaluation.oks import Scores
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import Tables, detect, landmarks_with
from fashion_ops.methods.detection.sources import BoxSource
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import category
from papers.alignment import APART, OUTLIER, TOGETHER
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet

VARIANTS = ("universal", "finetuned")


def load_landmarker(
    folder: Path, device: torch.device, flip_test: bool | None = None
) -> LandmarkPredictor:
    """Load a landmarker without its shape priors, which the papers do not have.

    ``flip_test`` None keeps the setting that it was trained with.
    """
    model = LandmarkPredictor.load(folder, device).with_decoding(decode_prior=False)
    return model if flip_test is None else model.with_decoding(flip_test=flip_test)


def predict_landmarks(
    universal: LandmarkPredictor,
    finetuned: Mapping[str, LandmarkPredictor],
    evaluated: EvaluationSet,
    boxes: pd.DataFrame,
    what: str,
    score: str = "own",
) -> Tables:
    """Predictions on boxes of the universal model and, if there are any, of the finetuned ones.

    Args:
        universal: landmarker for every category.
        finetuned: landmarkers by category name; empty, or one for each category among the boxes.
        evaluated: the images.
        boxes: garments, or detections with a box and a category.
        what: label of the progress bar.
        score: whose peaks count, see ``LandmarkPipeline.predict``.
    """
    pipeline = LandmarkPipeline(
        universal, {category(n).id: model for n, model in finetuned.items()}, {}
    )
    variants = VARIANTS if finetuned else VARIANTS[:1]
    models = loaded([pipeline])
    return landmarks_with(models, evaluated.catalog, {what: boxes}, score, variants)[what]


def landmark_scores(config: TableConfig, evaluated: EvaluationSet, predictions: pd.DataFrame) -> Scores:
    """Landmark AP with the number of detections that step ``evaluate`` allows."""
    return evaluated.landmarks(predictions, config.params.evaluate.max_detections)


def detect_boxes(
    config: TableConfig, evaluated: EvaluationSet, source: BoxSource
) -> tuple[pd.DataFrame, float]:
    """A source's boxes on the evaluation images, and their box AP."""
    boxes = detect(source, evaluated.images, config.params.evaluate.max_detections)
    return boxes, evaluated.boxes(boxes).stats["AP"]


def position_scores(garments: pd.DataFrame, predictions: pd.DataFrame) -> tuple[float, float, float]:
    """NE, outliers and duplicates over all garments.

    Args:
        garments: rows of the catalog (``schemas.GARMENTS``).
        predictions: ``schemas.PREDICTIONS`` of the same garments, in any order.

    Returns:
        Mean distance of the labelled landmarks over the box's longer side, and the shares of
        outliers among landmarks and of duplicates among pairs that lie apart, in percent.
    """
    found = dict(zip(predictions["garment_id"], predictions["landmarks"], strict=True))
    distances, duplicate = [], []
    columns = (garments[name] for name in ("garment_id", "landmarks", "box"))
    for garment_id, landmarks, (x1, y1, x2, y2) in zip(*columns, strict=True):
        truth = np.reshape(landmarks, (-1, 3))
        labelled, side = truth[:, 2] > 0, max(x2 - x1, y2 - y1)
        true = truth[labelled, :2] / side
        predicted = np.reshape(found[garment_id], (-1, 3))[labelled, :2] / side
        distances.append(np.linalg.norm(predicted - true, axis=1))
        first, second = np.triu_indices(len(true), 1)
        apart = np.linalg.norm(true[first] - true[second], axis=1) > APART
        together = np.linalg.norm(predicted[first] - predicted[second], axis=1) < TOGETHER
        duplicate.append(together[apart])
    distance = np.concatenate(distances)
    return (
        float(distance.mean()),
        100 * float((distance > OUTLIER).mean()),
        100 * float(np.concatenate(duplicate).mean()),
    )
