"""A trained Cascade R-CNN or HTC ready to predict: images in, boxes of garments out.

Test-time views of an image (scales, mirrored) are merged as boxes, by NMS.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import batched_nms

from fashion_ops.methods.artifact import SPEC, load_model, read_spec
from fashion_ops.methods.detection.cascade import (
    MAX_DETECTIONS,
    NMS_IOU,
    BoxTensors,
    select_detections,
)
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN, resizer
from fashion_ops.methods.detection.sources import ScoredBox
from fashion_ops.methods.detection.targets import from_edges, mirror_boxes
from fashion_ops.methods.parts.precision import autocast

METHOD = "detection"
BATCH = 8


def build(spec: dict[str, Any]) -> CascadeRCNN:
    """Build the untrained network that a ``model.json`` describes."""
    return CascadeRCNN(Architecture.of(spec))


def write_none(folder: Path) -> None:
    """Write a ``model.json`` that says that there is no box detector."""
    text = json.dumps({"method": METHOD, "kind": None}, indent=2, sort_keys=True) + "\n"
    (folder / SPEC).write_text(text, encoding="utf-8")


def holds_detector(folder: Path) -> bool:
    """Whether a folder holds a network; False if it does not exist or was made by ``write_none``.

    Raises:
        ValueError: it holds a model of another method.
    """
    return (folder / SPEC).is_file() and read_spec(folder, METHOD)["kind"] is not None


def require_detector(folder: Path) -> None:
    """Check that a folder holds a network.

    Raises:
        FileNotFoundError: it holds no model.
        ValueError: it holds a model of another method, or was made by ``write_none``.
    """
    if read_spec(folder, METHOD)["kind"] is None:
        raise ValueError(
            f"{folder}: no network here, train_box_detector.kind was null; set it to cascade_rcnn "
            "or htc and run `fashion-ops train_box_detector`"
        )


@dataclass(frozen=True)
class BoxDetector:
    """A box detector ready to predict.

    Attributes:
        model: the network.
        spec: the ``model.json``.
        scales: factors on the short and the long side; each gives a view of the image.
        flip: whether mirrored images are views, too.
    """

    model: CascadeRCNN
    spec: dict[str, Any]
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "BoxDetector":
        """Read a model folder; its ``model.json`` says which views are used.

        Raises:
            FileNotFoundError: ``folder`` holds no model.
            ValueError: it holds a model of another method, or was made by ``write_none``.
        """
        require_detector(folder)
        model, spec = load_model(folder, METHOD, build, device)
        return cls(model, spec, tuple(spec["scales"]), spec["flip_test"])

    @torch.inference_mode()
    def detect(
        self, images: Sequence[np.ndarray], score_threshold: float | None = None
    ) -> list[list[ScoredBox]]:
        """Detect the garments of each image, best first.

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            score_threshold: garments with a lower score are left out; None uses the threshold in
                ``model.json``.
        """
        threshold = self.spec["score_threshold"] if score_threshold is None else score_threshold
        mirrored = (False, True) if self.flip else (False,)
        detections: list[list[ScoredBox]] = []
        for i in range(0, len(images), BATCH):
            batch = images[i : i + BATCH]
            views = [self._detect_view(batch, threshold, s, m) for s in self.scales for m in mirrored]
            detections += [
                _merge_views([view[n] for view in views], image) for n, image in enumerate(batch)
            ]
        return detections

    def _detect_view(
        self, images: Sequence[np.ndarray], threshold: float, scale: float, mirrored: bool
    ) -> list[BoxTensors]:
        """Detect the garments of each image in one view; boxes are in edge coordinates of the image.

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            threshold: scores must be above it.
            scale: factor on the short and the long side.
            mirrored: whether to mirror the images; the boxes are mirrored back.
        """
        architecture = self.model.architecture
        device = next(self.model.parameters()).device
        sides = (architecture.short_side, architecture.long_side)
        resize = resizer((round(sides[0] * scale),), round(sides[1] * scale)).eval()
        pixels = [torch.from_numpy(i).to(device).permute(2, 0, 1).float() / 255 for i in images]
        batch, _ = resize([x.flip(-1) if mirrored else x for x in pixels])
        with autocast(self.spec["precision"], device):
            features = self.model.backbone(batch.tensors)
            proposals, _ = self.model.rpn(batch, features)
            heads = self.model.roi_heads
            semantic = heads.semantic(features) if heads.semantic is not None else None
            boxes, scores = heads.run(features, semantic, proposals, batch.image_sizes)
        detections = []
        for image_boxes, values, size, x in zip(boxes, scores, batch.image_sizes, pixels, strict=True):
            kept = select_detections(image_boxes, values, threshold)
            back = resize_boxes(kept["boxes"], list(size), list(x.shape[-2:]))
            detections.append({**kept, "boxes": mirror_boxes(back, x.shape[-1]) if mirrored else back})
        return detections


def _merge_views(views: list[BoxTensors], image: np.ndarray) -> list[ScoredBox]:
    """Merge the detections in the views of one image by NMS within each category.

    Boxes are converted from edge coordinates to pixels and clipped to the image.
    """
    merged = {name: torch.cat([view[name] for view in views]) for name in ("boxes", "scores", "labels")}
    kept = batched_nms(merged["boxes"], merged["scores"], merged["labels"], NMS_IOU)[:MAX_DETECTIONS]
    limit = merged["boxes"].new_tensor([image.shape[1] - 1, image.shape[0] - 1] * 2)
    boxes = torch.minimum(from_edges(merged["boxes"][kept]).clamp_min(0), limit)
    return [
        ScoredBox(box, score, category_id)
        for box, score, category_id in zip(
            boxes.cpu().numpy().astype(np.float32),
            merged["scores"][kept].tolist(),
            merged["labels"][kept].tolist(),
            strict=True,
        )
    ]
