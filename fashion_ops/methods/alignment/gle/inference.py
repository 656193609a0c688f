"""A trained GLE folder as an object: boxes in, landmarks out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fashion_ops.methods.alignment.gle.config import GLESettings
from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.targets import peak_of_density
from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import crop_matrices, cut_crops, invert_matrices, to_image
from fashion_ops.methods.parts.heatmaps import decode_peaks
from fashion_ops.methods.parts.trainer import autocast
from fashion_ops.taxonomy.alignment import point_set

METHOD = "gle"
BATCH = 64


def build(spec: dict[str, Any]) -> GLE:
    """The untrained network that a ``model.json`` describes."""
    settings = GLESettings.model_validate(spec["settings"])
    return GLE(settings.backbone, point_set(spec["points"]).num_points, settings.modules)


@dataclass
class GLEPredictor:
    """A GLE network ready to predict."""

    model: GLE
    spec: dict[str, Any]
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> "GLEPredictor":
        """Read a model folder.

        Raises:
            FileNotFoundError: no model there.
            ValueError: a model of another method.
        """
        model, spec = load_model(folder, METHOD, build, device)
        return cls(model, spec, torch.device(device))

    @property
    def settings(self) -> GLESettings:
        return GLESettings.model_validate(self.spec["settings"])

    def predict(
        self, read_image: Callable[[int], np.ndarray], image_ids: np.ndarray, boxes: np.ndarray
    ) -> Float[np.ndarray, "n k 3"]:
        """x, y in image pixels and the height of the peak, 0..1, of every landmark of the set."""
        settings = self.settings
        matrices = crop_matrices(boxes, settings.crop, settings.padding)
        crops = cut_crops(read_image, image_ids, matrices, settings.crop)
        return to_image(self.predict_crops(crops), invert_matrices(matrices))

    @torch.inference_mode()
    def predict_crops(self, crops: Tensor) -> Float[np.ndarray, "n k 3"]:
        """As ``predict``, in crop pixels, from uint8 crops (N, 3, H, W)."""
        out = [np.zeros((0, point_set(self.spec["points"]).num_points, 3))]
        for i in range(0, len(crops), BATCH):
            batch = normalize(crops[i : i + BATCH].to(self.device).float() / 255)
            with autocast(self.settings.precision, self.device):
                heat = self.model(batch.contiguous(memory_format=torch.channels_last))
            found = decode_peaks(self._peaks(heat.float())).cpu().numpy()
            found[..., 2] = found[..., 2].clip(0, 1)
            out.append(found)
        return np.concatenate(out)

    def _peaks(self, heat: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """The network's output as heatmaps with peaks near 1 where it is sure."""
        settings = self.settings
        if settings.loss == "mse":
            return heat
        density = heat.flatten(2).softmax(2).view_as(heat)
        return density * peak_of_density(settings.radius * settings.crop[0])
