"""``fashion-ops export detector``: export a detector for the edge and, for INT8, measure what it costs.

INT8 is calibrated on images of the catalog's train split; its AP is compared with that of torch.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog, draw_subset
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.inference.edge import edge_postprocess
from fashion_ops.inference.predictions import detect
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.centernet.deploy.export import ExportResult, export_detector
from fashion_ops.methods.centernet.deploy.graph import ExportConfig
from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.device import select_device
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace


@dataclass(frozen=True)
class QuantizationMetrics:
    """AP of boxes and of the detector's landmarks, in torch (fp32) and as exported (INT8).

    Attributes:
        num_images: number of images evaluated.
        num_calibration: number of images that INT8 was calibrated on.
        torch: ``box AP`` and ``landmark AP`` in torch.
        exported: the same of the exported detector.
    """

    num_images: int
    num_calibration: int
    torch: dict[str, float]
    exported: dict[str, float]


def export_and_evaluate(
    params: Params,
    ws: Workspace,
    model: Path,
    out: Path,
    config: ExportConfig,
    num_calibration: int,
    num_images: int,
) -> tuple[ExportResult, QuantizationMetrics | None]:
    """Export a detector; for INT8 also calibrate and evaluate it.

    Args:
        params: the seed that draws images, the evaluation's settings, and the device of torch.
        ws: workspace of the catalog, which only INT8 reads.
        model: the detector's folder, or a bundle that contains ``detector``.
        out: folder to write.
        config: how to export.
        num_calibration: largest number of train images that INT8 is calibrated on.
        num_images: largest number of images of ``evaluate.split`` that INT8 is evaluated on.

    Returns:
        The export, and the metrics if it is INT8, else None.

    Raises:
        FileNotFoundError: ``model`` holds no detector.
        ValueError: ``config`` is not possible, the network does not equal torch, or INT8 finds no train
            images.
    """
    folder = model if (model / SPEC).is_file() else model / "detector"
    post = edge_postprocess(folder)
    device = select_device(params.distributed.device)
    detector = Detector.load(folder, device, post)
    catalog = Catalog(ws.catalog)
    calibration = None
    if config.precision == "int8":
        calibration = _calibration_images(catalog, detector, num_calibration, params.seed)
    exported = export_detector(folder, out, config, post, device, calibration)
    if calibration is None:
        return exported, None
    assert isinstance(detector.network, TorchNetwork)
    exact = Detector(
        TorchNetwork(detector.network.model, "fp32", detector.network.device), detector.spec, post
    )
    images = draw_subset(catalog.images, params.evaluate.split, num_images, params.seed)
    before, after = (
        _evaluate(d, catalog, images, params.evaluate.max_detections)
        for d in (exact, ExportedDetector.open(out, config.format))
    )
    return exported, QuantizationMetrics(len(images), len(calibration), before, after)


def as_text(exported: ExportResult, metrics: QuantizationMetrics | None) -> str:
    """Format an export, its differences from torch and, for INT8, its metrics."""
    graph = exported.graph
    batch = "any number of images" if graph.batch is None else "one image"
    lines = [
        f"{exported.folder}: {graph.format} {graph.precision}, {batch} of {graph.input_size} pixels "
        f"at once, gives {graph.gives}",
        "largest difference from torch on noise:",
        f"  {'':12}{'in fp32':>10}{'as served':>12}",
        *(f"  {k:12}{v:10.1e}{exported.served[k]:12.1e}" for k, v in exported.fp32.items()),
    ]
    if metrics:
        lines += [
            f"calibrated on {metrics.num_calibration} train images, evaluated on {metrics.num_images} "
            "images:",
            f"  {'':12}{'torch fp32':>10}{graph.precision:>12}{'loss':>9}",
            *(
                f"  {k:12}{v:10.4f}{metrics.exported[k]:12.4f}{v - metrics.exported[k]:9.4f}"
                for k, v in metrics.torch.items()
            ),
        ]
    return "\n".join(lines)


def _calibration_images(catalog: Catalog, detector: Detector, count: int, seed: int) -> np.ndarray:
    """Draw up to ``count`` train images and letterbox them for the detector: uint8 (N, S, S, 3).

    Raises:
        ValueError: the catalog has no train images.
    """
    ids = draw_subset(catalog.images, "train", count, seed)["image_id"]
    if ids.empty:
        raise ValueError(f"{catalog.folder}: no train images to calibrate INT8 on")
    return detector.letterbox([catalog.image(i) for i in ids])[0].permute(0, 2, 3, 1).numpy()


def _evaluate(
    detector: Detector, catalog: Catalog, images: pd.DataFrame, max_detections: int
) -> dict[str, float]:
    """Compute ``box AP`` and ``landmark AP`` of a detector on images, rows of the catalog."""
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    predictions = detect(DetectedBoxes(detector, catalog.image), images, max_detections)
    landmarks = score_landmarks(ground_truth(images, garments), detections(predictions, images))
    boxes = score_boxes(images, garments, predictions)
    return {"box AP": boxes.stats["AP"], "landmark AP": landmarks.stats["AP"]}
