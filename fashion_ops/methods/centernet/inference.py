"""A trained detector folder as an object: pictures in, garments with boxes and landmarks out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.centernet.data import fit_matrix
from fashion_ops.methods.centernet.decode import decode, merge_flipped
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import apply_matrices, cut, invert_matrices
from fashion_ops.methods.parts.fit import autocast
from fashion_ops.taxonomy import Grouping, load_grouping

METHOD = "centernet"
BATCH = 32
NMS_IOU = 0.6  # within a category


@dataclass(frozen=True)
class Detection:
    """One garment; picture pixels.

    ``box``: float32 (4,) x1, y1, x2, y2 within the picture. ``landmarks``: float32 (n, 3) x, y, score,
    in the order of the category's landmarks.
    """

    box: np.ndarray
    score: float
    category_id: int
    landmarks: np.ndarray


def build(spec: dict[str, Any]) -> CenterNet:
    """The untrained network that a ``model.json`` describes."""
    groups = load_grouping(spec["grouping"]).num_groups
    return CenterNet(spec["backbone"], groups, spec["neck_width"], spec["head_width"])


@dataclass
class Detector:
    """A detector ready to predict."""

    model: CenterNet
    spec: dict[str, Any]
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> "Detector":
        """Read a model folder.

        Raises:
            FileNotFoundError: no model there.
            ValueError: a model of another method.
        """
        model, spec = load_model(folder, METHOD, build, device)
        return cls(model, spec, torch.device(device))

    @property
    def grouping(self) -> Grouping:
        return load_grouping(self.spec["grouping"])

    def detect(
        self, images: list[np.ndarray], score_threshold: float | None = None
    ) -> list[list[Detection]]:
        """Garments of each picture, best first.

        Overlapping garments of one category are reduced to the best one; across categories all stay,
        since tops lie over dresses and trousers under coats.

        Args:
            images: RGB uint8 (H, W, 3), any sizes.
            score_threshold: garments below are left out; None takes the model's own.
        """
        threshold = self.spec["score_threshold"] if score_threshold is None else score_threshold
        out: list[list[Detection]] = []
        for i in range(0, len(images), BATCH):
            out += self._detect_batch(images[i : i + BATCH], threshold)
        return out

    @torch.inference_mode()
    def _maps(self, pictures: Tensor) -> dict[str, Tensor]:
        """Six maps of fitted pictures uint8 (B, 3, size, size), in fp32, heatmaps after the sigmoid."""
        pixels = normalize(pictures.to(self.device).float() / 255)
        maps = self._run(pixels)
        if not self.spec["flip_test"]:
            return maps
        mirror = torch.from_numpy(self.grouping.mirror()).to(self.device)
        return merge_flipped(maps, self._run(pixels.flip(-1)), mirror)

    def _run(self, pixels: Tensor) -> dict[str, Tensor]:
        with autocast(self.spec["precision"], self.device):
            maps = self.model(pixels.contiguous(memory_format=torch.channels_last))
        return {k: v.float().sigmoid() if k.startswith("hm") else v.float() for k, v in maps.items()}

    def _detect_batch(self, images: list[np.ndarray], threshold: float) -> list[list[Detection]]:
        size = self.spec["input_size"]
        matrices = np.stack([fit_matrix(image.shape[1], image.shape[0], size) for image in images])
        fitted = [cut(image, m, (size, size)) for image, m in zip(images, matrices, strict=True)]
        found = decode(self._maps(torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2)), threshold)
        inverse = invert_matrices(matrices)
        out = []
        for i, image in enumerate(images):
            kept = batched_nms(found.boxes[i], found.scores[i], found.category[i], NMS_IOU)
            kept = kept[found.scores[i, kept] >= threshold]
            boxes, scores, category, landmarks = (
                x[i, kept].cpu().numpy()
                for x in (found.boxes, found.scores, found.category, found.landmarks)
            )
            limit = np.array([image.shape[1] - 1, image.shape[0] - 1])
            ends = apply_matrices(inverse[i : i + 1], boxes.reshape(1, -1, 2)).reshape(-1, 2, 2)
            ends = ends.clip(0, limit).reshape(-1, 4).astype(np.float32)
            points = apply_matrices(inverse[i : i + 1], landmarks[..., :2].reshape(1, -1, 2))
            landmarks[..., :2] = points.reshape(*landmarks.shape[:2], 2)
            out.append(
                [
                    Detection(box, float(score), int(c), self.grouping.ungroup(int(c), groups))
                    for box, score, c, groups in zip(ends, scores, category, landmarks, strict=True)
                ]
            )
        return out
