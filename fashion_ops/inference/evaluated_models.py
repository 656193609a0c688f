"""All predictions that ``evaluate`` compares: boxes, landmarks in both kinds of boxes, and scores."""

from dataclasses import dataclass

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.splits import Split
from fashion_ops.evaluation.calibration import Reliability, ScoredPoints, reliability
from fashion_ops.evaluation.keypoint_accuracy import keypoint_accuracy
from fashion_ops.evaluation.mean_shape import fit_mean_shape, predict_mean_shape
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.evaluation.tables import Evaluation, evaluate_tables
from fashion_ops.inference.box_sources import LoadDetectors, read_boxes
from fashion_ops.inference.landmark_pipeline import VARIANTS, load_pipelines
from fashion_ops.inference.predictions import Tables, detect, detect_with, landmarks_with
from fashion_ops.methods.centernet.postprocess_file import read_postprocess
from fashion_ops.methods.detection.inference import require_detector
from fashion_ops.methods.parts.blocks import Bundle, OpenRunner
from fashion_ops.methods.parts.hardware import Hardware
from fashion_ops.params import BOX_DETECTOR, DETECTOR, Evaluate
from fashion_ops.workspace import Workspace


@dataclass(frozen=True)
class Predicted:
    """The predictions of all models on a split.

    Attributes:
        boxes: the garments of the source that ``evaluate.boxes`` names.
        truth_boxes: landmarks in ground-truth boxes, by variant.
        own_boxes: landmarks in ``boxes``, by variant, and of CenterNet itself (``detector``).
        hardware: that predicted.
        held_out: landmarks in the ground-truth boxes of other garments, by variant; empty for none.
    """

    boxes: pd.DataFrame
    truth_boxes: Tables
    own_boxes: Tables
    hardware: set[Hardware]
    held_out: Tables


def predict_models(
    p: Evaluate,
    ws: Workspace,
    catalog: Catalog,
    images: pd.DataFrame,
    garments: pd.DataFrame,
    open_runner: OpenRunner,
    held_out: pd.DataFrame | None = None,
) -> Predicted:
    """Predict the boxes and landmarks of a split with all models of a workspace.

    Args:
        p: names the source of boxes, the ensemble and how garments are scored.
        ws: workspace of the models.
        catalog: provides the images.
        images: rows of the catalog's images, of one split.
        garments: rows of the catalog's garments on these images.
        open_runner: makes what predicts.
        held_out: rows of the catalog's garments that landmarks are also predicted for, in their boxes.

    Raises:
        FileNotFoundError: a model does not exist.
        ValueError: ``train_box_detector`` trained no model, or models do not match; the file of boxes
            does not exist or is invalid.
    """
    models = ws.detector.parent
    source = None
    if p.boxes == BOX_DETECTOR:
        require_detector(ws.box_detector)
    elif p.boxes != DETECTOR:
        source = read_boxes(p.boxes, ws, images)
    parts = ("detector", "box_detector") if p.boxes == BOX_DETECTOR else ("detector",)
    load = LoadDetectors(p.boxes, read_postprocess(ws.postprocess))
    detectors = open_runner(load, [Bundle(models, parts)])
    detected = detect_with(detectors, catalog, images, p.max_detections)
    boxes = detected["boxes"] if source is None else detect(source, images, p.max_detections)
    bundles = [Bundle(models, ("landmarker", "finetuned", "refined"))]
    bundles += [Bundle(ws.root / folder, ("landmarker", "finetuned")) for folder in p.ensemble]
    landmarkers = open_runner(load_pipelines, bundles)
    kinds = {"truth_boxes": garments, "own_boxes": boxes}
    if held_out is not None:
        kinds["held_out"] = held_out
    tables = {
        kind: {variant: oks_nms(table, p.oks_nms) for variant, table in by_variant.items()}
        for kind, by_variant in landmarks_with(landmarkers, catalog, kinds, p.score).items()
    }
    return Predicted(
        boxes,
        tables["truth_boxes"],
        {"detector": detected["detector"], **tables["own_boxes"]},
        detectors.hardware | landmarkers.hardware,
        tables.get("held_out", {}),
    )


@dataclass(frozen=True)
class Evaluated:
    """What the models predict on a split, and how good it is.

    Attributes:
        evaluation: the scores.
        tables: kind of boxes -> method -> predictions.
        accuracy: PCK, AUC and EPE by method, on ground-truth boxes.
        reliability: of the landmarks' scores, by variant, on ground-truth boxes.
        held_out: number of training garments that its temperatures are fitted on.
        hardware: that predicted.
    """

    evaluation: Evaluation
    tables: dict[str, Tables]
    accuracy: dict[str, pd.DataFrame]
    reliability: dict[str, Reliability]
    held_out: int
    hardware: set[Hardware]


def evaluate_split(
    p: Evaluate,
    ws: Workspace,
    split: Split,
    train: pd.DataFrame,
    open_runner: OpenRunner,
    held_out: pd.DataFrame | None = None,
) -> Evaluated:
    """Predict a split with all models of a workspace, and score them.

    Args:
        p: section ``evaluate``.
        ws: of the models.
        split: of any catalog.
        train: garments that the models were trained on; the mean shape is theirs.
        open_runner: makes what predicts.
        held_out: garments of the split's catalog that no landmark network has seen; the temperatures of
            the scores are fitted on them.
    """
    predicted = predict_models(
        p, ws, split.catalog, split.images, split.garments, open_runner, held_out
    )
    shapes, boxes = fit_mean_shape(train), predicted.boxes
    garments = split.garments
    truth_boxes = {"mean_shape": predict_mean_shape(shapes, garments), **predicted.truth_boxes}
    own_boxes = {"mean_shape": predict_mean_shape(shapes, boxes), **predicted.own_boxes}
    evaluation = evaluate_tables(
        split.images,
        garments,
        truth_boxes,
        own_boxes,
        detector=boxes,
        train_garments=train,
        max_detections=p.max_detections,
    )
    accuracy = {name: keypoint_accuracy(garments, table) for name, table in truth_boxes.items()}
    tables = {"truth_boxes": truth_boxes, "own_boxes": own_boxes}
    reliabilities = {
        variant: reliability(
            ScoredPoints.of(garments, truth_boxes[variant]),
            None if held_out is None else ScoredPoints.of(held_out, predicted.held_out[variant]),
        )
        for variant in VARIANTS
    }
    unseen = 0 if held_out is None else len(held_out)
    return Evaluated(evaluation, tables, accuracy, reliabilities, unseen, predicted.hardware)
