"""The boxes that ``evaluate.boxes`` names, for steps and tables; not a step itself."""

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import read_postprocess
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.sources import BoxSource, DetectedBoxes, boxes_from_file
from fashion_ops.params import BOX_DETECTOR, DETECTOR
from fashion_ops.workspace import Workspace


def open_boxes(boxes: str, ws: Workspace, catalog: Catalog, images: pd.DataFrame) -> BoxSource:
    """Where boxes come from.

    Args:
        boxes: ``models/detector`` is CenterNet without its own landmarks' scores (the landmarkers' come
            on top), ``models/box_detector`` Cascade R-CNN or HTC, all else the path of a COCO results
            file, from the workspace's root.
        ws: where the models are.
        catalog: where the images are.
        images: images of one split.

    Raises:
        FileNotFoundError: no such model.
        ValueError: ``train_box_detector`` trained none; no such file, or one that breaks a rule.
    """
    if boxes == DETECTOR:
        detector = Detector.load(ws.detector, post=read_postprocess(ws.postprocess))
        return DetectedBoxes(detector.without_landmark_scores(), catalog.image)
    if boxes == BOX_DETECTOR:
        return DetectedBoxes(BoxDetector.load(ws.box_detector), catalog.image)
    path = ws.root / boxes
    if not path.is_file():
        raise ValueError(
            f"evaluate.boxes is {boxes!r}: neither {DETECTOR} nor {BOX_DETECTOR}, and there is no file "
            f"{path}"
        )
    return boxes_from_file(path, images)
