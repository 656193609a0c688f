"""A trained GLE network that predicts the landmarks of boxed garments."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.targets import peak_of_density
from fashion_ops.methods.alignment.prediction import PredictedLandmarks
from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import crop_matrices, cut_crops, invert_matrices, to_image
from fashion_ops.methods.parts.heatmaps import decode_peaks
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.methods.parts.warm_start import WarmStart
from fashion_ops.params import GLEConfig
from fashion_ops.taxonomy.alignment import point_set, points_of_type

METHOD = "gle"
BATCH = 64
GARMENTS = 1024  # whose crops are in memory at once


def build(spec: dict[str, Any]) -> GLE:
    """Build the untrained network that a ``model.json`` describes."""
    config = GLEConfig.model_validate(spec["settings"])
    return GLE(config.backbone, point_set(spec["points"]).num_points, config.modules)


@dataclass
class GLEPredictor:
    """A GLE network ready to predict.

    Attributes:
        model: a ``GLE`` in eval mode.
        spec: the content of its ``model.json``.
        device: where the network is.
        history: mean losses of each epoch; empty of a loaded model.
        start: what it started from, if it was another network; None of a loaded model.
    """

    model: nn.Module
    spec: dict[str, Any]
    device: torch.device
    history: tuple[dict[str, float], ...] = ()
    start: WarmStart | None = None

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "GLEPredictor":
        """Read a folder written by ``save_gle``; the network runs on ``device``.

        Raises:
            FileNotFoundError: the folder holds no model.
            ValueError: it holds a model of another method.
        """
        model, spec = load_model(folder, METHOD, build, device)
        return cls(model, spec, device)

    @cached_property
    def config(self) -> GLEConfig:
        """The settings that the network was trained with."""
        return GLEConfig.model_validate(self.spec["settings"])

    def predict(
        self, read_image: Callable[[int], np.ndarray], image_ids: np.ndarray, boxes: np.ndarray
    ) -> Float[np.ndarray, "n k 3"]:
        """Predict the landmarks of n garments.

        Args:
            read_image: returns the RGB uint8 image (H, W, 3) of an image id.
            image_ids: (n,), the image of each garment.
            boxes: (n, 4), x1, y1, x2, y2 in image pixels.

        Returns:
            x and y in image pixels and the height of the peak, 0..1, of each landmark of the point set.
        """
        config = self.config
        matrices = crop_matrices(boxes, config.crop, config.padding)
        poses = [np.zeros((0, point_set(self.spec["points"]).num_points, 3))]
        for i in range(0, len(boxes), GARMENTS):
            rows = slice(i, i + GARMENTS)
            crops = cut_crops(read_image, image_ids[rows], matrices[rows], config.crop)
            poses.append(self.predict_crops(crops))
        return to_image(np.concatenate(poses), invert_matrices(matrices))

    def predict_garments(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        clothes_types: np.ndarray,
    ) -> list[PredictedLandmarks]:
        """Predict landmarks with the height of the peak as score; GLE predicts no visibility.

        Arguments as of ``AlignmentMethod``.
        """
        found = self.predict(read_image, image_ids, boxes)
        return [
            PredictedLandmarks(landmarks[points_of_type(int(code)).slots], ())
            for landmarks, code in zip(found, clothes_types, strict=True)
        ]

    @torch.inference_mode()
    def predict_crops(self, crops: UInt8[Tensor, "n 3 h w"]) -> Float[np.ndarray, "n k 3"]:
        """Predict the landmarks of crops, with x and y in crop pixels; otherwise as ``predict``."""
        out = [np.zeros((0, point_set(self.spec["points"]).num_points, 3))]
        for i in range(0, len(crops), BATCH):
            peaks = decode_peaks(self.heatmaps(crops[i : i + BATCH])).cpu().numpy()
            peaks[..., 2] = peaks[..., 2].clip(0, 1)
            out.append(peaks)
        return np.concatenate(out)

    def heatmaps(self, crops: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Compute the heatmaps of some crops, fp32, whose confident peaks are near 1."""
        batch = normalize(crops.to(self.device).float() / 255)
        with autocast(self.config.precision, self.device):
            heat = self.model(batch.contiguous(memory_format=torch.channels_last))
        return self.activate(heat.float())

    def activate(self, heat: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """Convert the network's output to heatmaps whose confident peaks are near 1."""
        if self.config.loss == "mse":
            return heat
        density = heat.flatten(2).softmax(2).view_as(heat)
        return density * peak_of_density(self.config.radius * self.config.crop[0])
