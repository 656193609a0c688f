"""Landmarks of some models on some boxes, and their AP; shared by the tables of this package."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fashion_ops.evaluation.oks import Scores
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import Tables, detect, landmark_tables
from fashion_ops.methods.detection.sources import BoxSource
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import category
from papers.config import Request
from papers.evaluation_set import Judged

VARIANTS = ("universal", "finetuned")


def load(folder: Path, flip_test: bool | None = None) -> LandmarkPredictor:
    """A landmarker; ``flip_test`` None leaves it as it was trained."""
    model = LandmarkPredictor.load(folder)
    return model if flip_test is None else model.with_decoding(flip_test=flip_test)


def landmarks(
    universal: LandmarkPredictor,
    finetuned: Mapping[str, LandmarkPredictor],
    judged: Judged,
    boxes: pd.DataFrame,
    what: str,
    score: str = "own",
) -> Tables:
    """Predictions on boxes of the universal model and, if there are any, of the finetuned ones.

    Args:
        universal: for every category.
        finetuned: by category; none at all, or one for each category among the boxes.
        judged: the images.
        boxes: garments, or what a source found.
        what: for the progress bar.
        score: whose peaks count, see ``LandmarkPipeline.predict``.
    """
    pipeline = LandmarkPipeline(
        universal, {category(n).id: model for n, model in finetuned.items()}, {}
    )
    variants = VARIANTS if finetuned else VARIANTS[:1]
    return landmark_tables(pipeline, judged.catalog, boxes, what, score=score, variants=variants)


def score(request: Request, judged: Judged, predictions: pd.DataFrame) -> Scores:
    """Landmark AP as ``evaluate`` has it."""
    return judged.landmarks(predictions, request.params.evaluate.max_detections)


def find(request: Request, judged: Judged, source: BoxSource) -> tuple[pd.DataFrame, float]:
    """A source's boxes on the judged images, and their box AP."""
    found = detect(source, judged.images, request.params.evaluate.max_detections)
    return found, judged.boxes(found).stats["AP"]
