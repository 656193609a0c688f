"""A trained refiner as an object: landmarks in, refined landmarks out.

Scores are those of the input: PoseFix predicts none. Do not refine twice: its authors report that the
second pass makes results worse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import apply_matrices, crop_matrices, cut_crops, invert_matrices
from fashion_ops.methods.parts.heatmaps import STRIDE, soft_argmax, to_pixels
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.methods.parts.shape_prior import ShapePrior, load_priors
from fashion_ops.methods.posefix.model import LandmarkerPoseFix, PoseFix
from fashion_ops.taxonomy import Category
from fashion_ops.taxonomy import category as find_category

METHOD = "posefix"
BATCH = 64
POSE_BOX = 1.2  # side of the box around a pose over that of the tight one (PoseFix, release)


def build(spec: dict[str, Any]) -> nn.Module:
    """Build the untrained network that a ``model.json`` describes."""
    n = find_category(spec["category"]).num_landmarks
    if spec["backbone"] == "landmarker":
        width, height = spec["crop"]
        return LandmarkerPoseFix(spec["trunk"], n, spec["pose_sigma"], (width, height))
    return PoseFix(spec["backbone"], n, spec["pose_sigma"])


@dataclass
class Refiner:
    """The refiner of one category, ready to predict.

    Attributes:
        model: a ``PoseFix`` or ``LandmarkerPoseFix``.
        spec: its ``model.json``.
        device: where the network is.
        priors: by category id, the shape prior that the model was trained with, if any;
            ``LandmarkPipeline`` applies it.
    """

    model: nn.Module
    spec: dict[str, Any]
    device: torch.device
    priors: Mapping[int, ShapePrior] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Refiner":
        """Load a folder written by ``train_refiner``; the network runs on ``device``.

        Raises:
            FileNotFoundError: there is no model.
            ValueError: the model is of another method.
        """
        model, spec = load_model(folder, METHOD, build, device)
        return cls(model, spec, device, load_priors(folder) if spec.get("decode_prior") else {})

    @property
    def category(self) -> Category:
        """The category whose landmarks it refines."""
        return find_category(self.spec["category"])

    @property
    def used_priors(self) -> Mapping[int, ShapePrior]:
        """The priors that correct its landmarks in a pipeline; none where ``decode_prior`` is off."""
        return self.priors if self.spec.get("decode_prior") else {}

    @property
    def crop(self) -> tuple[int, int]:
        """Crop (width, height) in pixels, the same as the landmarker's."""
        width, height = self.spec["crop"]
        return width, height

    @property
    def cuts_own_crops(self) -> bool:
        """Whether it is given crops around the pose, which only ``refine_garments`` cuts."""
        return self.spec.get("box", "garment") == "pose"

    @torch.inference_mode()
    def refine(
        self, crops: UInt8[Tensor, "n 3 h w"], landmarks: Float[Tensor, "n k 3"]
    ) -> Float[Tensor, "n k 3"]:
        """Refine landmarks in crop pixels; the scores are returned as they are.

        Args:
            crops: as the landmarker was given.
            landmarks: x, y in crop pixels, score.
        """
        mirror = torch.from_numpy(self.category.mirror()).to(self.device)
        out = landmarks.clone()
        for i in range(0, len(crops), BATCH):
            batch = normalize(crops[i : i + BATCH].to(self.device).float() / 255)
            points = landmarks[i : i + BATCH, :, :2].to(self.device).float()
            refined = self._refine_batch(batch, points)
            if self.spec["flip_test"]:
                right = batch.new_tensor([batch.shape[-1] - 1, 0])
                sign = batch.new_tensor([-1, 1])
                flipped = self._refine_batch(batch.flip(-1), (right + sign * points)[:, mirror])
                refined = (refined + right + sign * flipped[:, mirror]) / 2
            out[i : i + BATCH, :, :2] = refined.to(out)
        return out

    def _refine_batch(
        self, batch: Float[Tensor, "b 3 h w"], points: Float[Tensor, "b k 2"]
    ) -> Float[Tensor, "b k 2"]:
        """Refine points in crop pixels, all of them known, on normalised crops, without flip test."""
        takes_pose = self.spec.get("takes_pose", True)
        known = points.new_full(points.shape[:2], takes_pose, dtype=torch.bool)
        with autocast(self.spec["precision"], self.device):
            logits = self.model(batch.contiguous(memory_format=torch.channels_last), points, known)
        return to_pixels(soft_argmax(logits), STRIDE)

    def refine_garments(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        landmarks: np.ndarray,
    ) -> np.ndarray:
        """Refine landmarks (N, n, 3) of garments of this category, in image pixels.

        A refiner of ``box`` "pose" is given the crops around the tight boxes of the landmarks, enlarged
        by ``POSE_BOX``, whatever ``boxes`` are.

        Args:
            read_image: image id to RGB uint8 (H, W, 3).
            image_ids: (N,) image of each garment; equal ids should stand together.
            boxes: (N, 4), the boxes that the landmarker was given.
            landmarks: (N, n, 3) x, y in image pixels, score.
        """
        if self.cuts_own_crops:
            low, high = landmarks[..., :2].min(1), landmarks[..., :2].max(1)
            center, half = (low + high) / 2, (high - low) / 2 * POSE_BOX
            boxes = np.concatenate([center - half, center + half], 1)
        matrices = crop_matrices(boxes, self.crop, self.spec["padding"])
        crops = cut_crops(read_image, image_ids, matrices, self.crop)
        points = np.concatenate(
            [apply_matrices(matrices, landmarks[..., :2]), landmarks[..., 2:]], 2
        ).astype(np.float32)
        refined = self.refine(crops, torch.from_numpy(points)).numpy()
        pixels = apply_matrices(invert_matrices(matrices), refined[..., :2])
        return np.concatenate([pixels, landmarks[..., 2:]], 2).astype(np.float32)
