"""Landmark predictions of models on given boxes, and their AP; shared by the tables of this package."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from fashion_ops.evaluation.oks import Scores
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import Tables, detect, landmarks_with
from fashion_ops.methods.detection.sources import BoxSource
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import category
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
