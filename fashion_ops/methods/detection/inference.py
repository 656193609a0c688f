"""A trained Cascade R-CNN or HTC folder as an object: images in, boxes of garments out.

Several looks at an image (scales, mirrored) are merged as boxes, by suppression. torchvision counts
pixels from the image's edge and we from the first pixel's centre: half a pixel lies between.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import batched_nms

from fashion_ops.methods.artifact import SPEC, load_model, read_spec
from fashion_ops.methods.detection.cascade import MOST, NMS_IOU, Found, pick
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN, resizer
from fashion_ops.methods.parts.boxes import Box
from fashion_ops.methods.parts.trainer import autocast

METHOD = "detection"
BATCH = 8


def build(spec: dict[str, Any]) -> CascadeRCNN:
    """The untrained network that a ``model.json`` describes."""
    return CascadeRCNN(Architecture.of(spec))


def write_none(folder: Path) -> None:
    """A folder that says that no box detector was asked for."""
    text = json.dumps({"method": METHOD, "kind": None}, indent=2, sort_keys=True) + "\n"
    (folder / SPEC).write_text(text, encoding="utf-8")


def holds_detector(folder: Path) -> bool:
    """Whether a folder holds a network, and not ``write_none``'s word that there is none.

    Raises:
        ValueError: a model of another method.
    """
    return (folder / SPEC).is_file() and read_spec(folder, METHOD)["kind"] is not None


@dataclass(frozen=True)
class BoxDetector:
    """A detector ready to predict.

    Attributes:
        model: the network.
        spec: what its folder says of it.
        scales: of the short and the long side, a look each.
        flip: look at the mirrored images too.
    """

    model: CascadeRCNN
    spec: dict[str, Any]
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> "BoxDetector":
        """Read a model folder; it looks at images as its ``model.json`` says.

        Raises:
            FileNotFoundError: no model there.
            ValueError: a model of another method, or none was asked for.
        """
        if read_spec(folder, METHOD)["kind"] is None:
            raise ValueError(
                f"{folder}: no network here, train_box_detector.kind was null; set it to cascade_rcnn "
                "or htc and run `fashion-ops train_box_detector`"
            )
        model, spec = load_model(folder, METHOD, build, device)
        return cls(model, spec, tuple(spec["scales"]), spec["flip_test"])

    @torch.inference_mode()
    def detect(
        self, images: Sequence[np.ndarray], score_threshold: float | None = None
    ) -> list[list[Box]]:
        """Garments of each image, best first.

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            score_threshold: garments below are left out; None takes the model's own.
        """
        threshold = self.spec["score_threshold"] if score_threshold is None else score_threshold
        out: list[list[Box]] = []
        for i in range(0, len(images), BATCH):
            batch = images[i : i + BATCH]
            looks = [self.look(batch, threshold, s, f) for s in self.scales for f in self._flips]
            out += [_merge([look[n] for look in looks], image) for n, image in enumerate(batch)]
        return out

    @property
    def _flips(self) -> tuple[bool, ...]:
        return (False, True) if self.flip else (False,)

    def look(
        self, images: Sequence[np.ndarray], threshold: float, scale: float, mirrored: bool
    ) -> list[Found]:
        """Boxes (from the edge), scores and labels of each image in one look."""
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
        found = []
        for one, values, size, x in zip(boxes, scores, batch.image_sizes, pixels, strict=True):
            kept = pick(one, values, threshold)
            back = resize_boxes(kept["boxes"], list(size), list(x.shape[-2:]))
            found.append({**kept, "boxes": mirror(back, x.shape[-1]) if mirrored else back})
        return found


def mirror(boxes: Tensor, width: int) -> Tensor:
    """Boxes (N, 4) from the edge in the mirrored image."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], 1)


def _merge(looks: list[Found], image: np.ndarray) -> list[Box]:
    """The looks at one image as one, doubles suppressed within each category."""
    found = {name: torch.cat([look[name] for look in looks]) for name in ("boxes", "scores", "labels")}
    kept = batched_nms(found["boxes"], found["scores"], found["labels"], NMS_IOU)[:MOST]
    limit = found["boxes"].new_tensor([image.shape[1] - 1, image.shape[0] - 1] * 2)
    boxes = torch.minimum((found["boxes"][kept] - 0.5).clamp_min(0), limit)
    return [
        Box(box, score, category_id)
        for box, score, category_id in zip(
            boxes.cpu().numpy().astype(np.float32),
            found["scores"][kept].tolist(),
            found["labels"][kept].tolist(),
            strict=True,
        )
    ]
