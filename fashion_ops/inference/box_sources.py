"""The source of boxes that the parameter ``evaluate.boxes`` names: opened, or loaded for blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import read_postprocess
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.sources import (
    BoxSource,
    DetectedBoxes,
    GarmentDetector,
    boxes_from_file,
)
from fashion_ops.params import BOX_DETECTOR, DETECTOR, PostProcess
from fashion_ops.workspace import Workspace


def open_boxes(
    boxes: str, ws: Workspace, catalog: Catalog, images: pd.DataFrame, device: torch.device
) -> BoxSource:
    """Open the source of boxes that ``evaluate.boxes`` names.

    Args:
        boxes: ``models/detector`` is CenterNet, without the scores of its own landmarks, as those of
            the landmarkers are multiplied in later; ``models/box_detector`` is Cascade R-CNN or
            HTC; anything else is the path of a COCO results file, relative to the workspace's root.
        ws: workspace of the models.
        catalog: of the images.
        images: rows of the catalog's images, of one split.
        device: where the detector runs.

    Raises:
        FileNotFoundError: the model does not exist.
        ValueError: ``train_box_detector`` trained no model; the file does not exist or is invalid.
    """
    if boxes == DETECTOR:
        detector = Detector.load(ws.detector, device, read_postprocess(ws.postprocess))
        return DetectedBoxes(detector.without_landmark_scores(), catalog.image)
    if boxes == BOX_DETECTOR:
        return DetectedBoxes(BoxDetector.load(ws.box_detector, device), catalog.image)
    return read_boxes(boxes, ws, images)


def read_boxes(boxes: str, ws: Workspace, images: pd.DataFrame) -> BoxSource:
    """Read the COCO results file that ``evaluate.boxes`` names, see ``open_boxes``.

    Raises:
        ValueError: the file does not exist or is invalid.
    """
    path = ws.root / boxes
    if not path.is_file():
        raise ValueError(
            f"evaluate.boxes is {boxes!r}: neither {DETECTOR} nor {BOX_DETECTOR}, and there is no file "
            f"{path}"
        )
    return boxes_from_file(path, images)


@dataclass(frozen=True)
class LoadDetectors:
    """Loads the detectors that ``evaluate`` compares, from the folder of all models: a ``Load``.

    Attributes:
        boxes: ``evaluate.boxes``.
        post: post-processing of CenterNet.
    """

    boxes: str
    post: PostProcess

    def __call__(self, folders: Sequence[Path], device: torch.device) -> dict[str, GarmentDetector]:
        """Load ``detector``, which is CenterNet, and ``boxes``, unless these come from a file."""
        (models,) = folders
        detector = Detector.load(models / "detector", device, post=self.post)
        detectors: dict[str, GarmentDetector] = {"detector": detector}
        if self.boxes == DETECTOR:
            detectors["boxes"] = detector.without_landmark_scores()
        elif self.boxes == BOX_DETECTOR:
            detectors["boxes"] = BoxDetector.load(models / "box_detector", device)
        return detectors
