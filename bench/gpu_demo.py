"""The demo's landmarker and detector, trained with ``params.yaml`` on one device, and their AP."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.tables import evaluate_tables
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import detect, landmarks_with
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.params import Params, load_params
from fashion_ops.steps import (
    aggregate,
    ingest,
    pseudo_label,
    synthesize,
    train_detector,
    train_landmarker,
)
from fashion_ops.workspace import Workspace

PARAMS = Path(__file__).parent.parent / "params.yaml"
DEMO_AP = {"universal": 0.464, "detector": 0.254, "boxes": 0.538}  # docs/results/demo.md, on CPUs
STEPS = (synthesize, ingest, aggregate, pseudo_label, train_detector, train_landmarker)
SMALL: dict[str, dict[str, Any]] = {
    "synthesize": {"train": 24, "validation": 16, "size": 96},
    "pseudo_label": {"clusters": 2},
    "train_detector": {"epochs": 1, "backbone": "tiny", "neck_width": 16, "head_width": 16},
    "train_landmarker": {"epochs": 1, "backbone": "hrnet_w8_tiny", "crop": [64, 64]},
}


def train_demo(small: bool, device: str) -> Iterator[str]:
    """Draw the wardrobe, train both networks and evaluate them; yields lines of Markdown.

    Args:
        small: a few images and tiny networks, which shows that it runs.
        device: ``cuda`` or ``cpu``.
    """
    values = load_params(PARAMS).model_dump(mode="json", by_alias=True, exclude={"notify"})
    if small:
        for name, changes in SMALL.items():
            values[name] |= changes
    values["distributed"] |= {"device": device, "workers": os.cpu_count() or 1}
    with tempfile.TemporaryDirectory() as folder:
        ws = Workspace(Path(folder))
        values["ingest"]["root"] = str(ws.raw)
        params = Params.model_validate(values)
        for step in STEPS:
            start = time.perf_counter()
            step.run(params, ws)
            yield f"demo, {step.__name__.rpartition('.')[2]}: {time.perf_counter() - start:.1f} s"
        start = time.perf_counter()
        found = evaluate(params, ws, torch.device(device))
        yield f"demo, evaluation of both: {time.perf_counter() - start:.1f} s"
    for name, ap in found.items():
        yield f"demo, AP of {name}: {ap:.3f} (docs/results/demo.md: {DEMO_AP[name]:.3f})"


def evaluate(params: Params, ws: Workspace, device: torch.device) -> dict[str, float]:
    """AP on the validation split.

    Returns:
        ``universal`` in ground-truth boxes, ``detector``: its own landmarks, ``boxes``: box AP.
    """
    catalog = Catalog(ws.catalog)
    images = catalog.images[catalog.images["split"] == "validation"]
    garments = catalog.garments[catalog.garments["split"] == "validation"]
    pipeline = LandmarkPipeline(LandmarkPredictor.load(ws.landmarker, device), {}, {})
    source = DetectedBoxes(Detector.load(ws.detector, device), catalog.image)
    detections = detect(source, images, params.evaluate.max_detections)
    boxes = {"truth_boxes": garments}
    tables = landmarks_with(loaded([pipeline]), catalog, boxes, variants=("universal",))["truth_boxes"]
    result = evaluate_tables(images, garments, tables, {"detector": detections}, detector=detections)
    assert result.boxes is not None
    return {
        "universal": result.truth_boxes["universal"].stats["AP"],
        "detector": result.own_boxes["detector"].stats["AP"],
        "boxes": result.boxes.stats["AP"],
    }
