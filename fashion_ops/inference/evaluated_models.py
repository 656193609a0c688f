"""All predictions that ``evaluate`` compares: boxes, and landmarks in both kinds of boxes."""

from dataclasses import dataclass

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.box_sources import LoadDetectors, read_boxes
from fashion_ops.inference.landmark_pipeline import load_pipelines
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
