"""``fashion-ops export detector``: the detector as a folder for the edge; not a step of the pipeline.

INT8 is calibrated on images of the catalog's train split, and its AP is judged against torch's.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog, draw_subset
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.inference.edge import edge_post
from fashion_ops.inference.predictions import detect
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.centernet.deploy.export import Exported, export_detector
from fashion_ops.methods.centernet.deploy.graph import Format, Precision
from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace


@dataclass(frozen=True)
class Cost:
    """AP of boxes and of the detector's own landmarks, in torch (fp32) and as exported."""

    num_images: int
    calibrated_on: int
    torch: dict[str, float]
    exported: dict[str, float]


def run(
    params: Params,
    ws: Workspace,
    model: Path,
    out: Path,
    form: Format,
    precision: Precision,
    garments: bool,
    dynamic_batch: bool,
    calibration: int,
    num_images: int,
) -> tuple[Exported, Cost | None]:
    """Export; for INT8 also calibrate and judge.

    Args:
        params: the seed that draws images, and how predictions are judged.
        ws: where the catalog is; only INT8 reads it.
        model: the detector's folder, or a bundle with ``detector``.
        out: folder to write.
        form: ``onnx`` or ``openvino``.
        precision: ``fp32``, ``bf16`` (OpenVINO) or ``int8``.
        garments: decode inside the graph.
        dynamic_batch: any number of images at once.
        calibration: train images that INT8 is calibrated on.
        images: images of ``evaluate.split`` that INT8 is judged on.

    Raises:
        FileNotFoundError: no detector there.
        ValueError: what was asked for does not exist, or the network does not equal torch.
    """
    folder = model if (model / SPEC).is_file() else model / "detector"
    post = edge_post(folder)
    detector = Detector.load(folder, post=post)
    catalog = Catalog(ws.catalog)
    samples = _calibration(catalog, detector, calibration, params.seed) if precision == "int8" else None
    exported = export_detector(
        folder, out, form, post, precision, garments, dynamic_batch, calibration=samples
    )
    if samples is None:
        return exported, None
    assert isinstance(detector.network, TorchNetwork)
    exact = Detector(
        TorchNetwork(detector.network.model, "fp32", detector.network.device), detector.spec, post
    )
    images = draw_subset(catalog.images, params.evaluate.split, num_images, params.seed)
    before, after = (
        _judge(d, catalog, images, params.evaluate.max_detections)
        for d in (exact, ExportedDetector.open(out, form))
    )
    return exported, Cost(len(images), len(samples), before, after)


def as_text(exported: Exported, cost: Cost | None) -> str:
    """What was written, how far it is from torch and, for INT8, what it costs."""
    graph = exported.graph
    batch = "any number of images" if graph.batch is None else "one image"
    lines = [
        f"{exported.folder}: {graph.format} {graph.precision}, {batch} of {graph.input_size} pixels "
        f"at once, gives {graph.gives}",
        "largest difference from torch on noise:",
        f"  {'':12}{'in fp32':>10}{'as served':>12}",
        *(f"  {k:12}{v:10.1e}{exported.served[k]:12.1e}" for k, v in exported.fp32.items()),
    ]
    if cost:
        lines += [
            f"calibrated on {cost.calibrated_on} train images, judged on {cost.num_images} images:",
            f"  {'':12}{'torch fp32':>10}{graph.precision:>12}{'loss':>9}",
            *(
                f"  {k:12}{v:10.4f}{cost.exported[k]:12.4f}{v - cost.exported[k]:9.4f}"
                for k, v in cost.torch.items()
            ),
        ]
    return "\n".join(lines)


def _calibration(catalog: Catalog, detector: Detector, count: int, seed: int) -> np.ndarray:
    """Fitted train images uint8 (N, S, S, 3)."""
    ids = draw_subset(catalog.images, "train", count, seed)["image_id"]
    if ids.empty:
        raise ValueError(f"{catalog.folder}: no train images to calibrate INT8 on")
    return detector.letterbox([catalog.image(i) for i in ids])[0].permute(0, 2, 3, 1).numpy()


def _judge(
    detector: Detector, catalog: Catalog, images: pd.DataFrame, max_detections: int
) -> dict[str, float]:
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    found = detect(DetectedBoxes(detector, catalog.image), images, max_detections)
    landmarks = score_landmarks(ground_truth(images, garments), detections(found, images))
    boxes = score_boxes(images, garments, found)
    return {"box AP": boxes.stats["AP"], "landmark AP": landmarks.stats["AP"]}
