"""A trained landmarker folder as an object: boxes in, named landmarks out."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import crop_matrices, cut_crops, invert_matrices, to_image
from fashion_ops.methods.parts.trainer import autocast
from fashion_ops.methods.top_down.decode import Reading, decode, predict_heatmaps
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.taxonomy import Grouping, load_grouping

METHOD = "top_down"
BATCH = 64


def build(spec: dict[str, Any]) -> Landmarker:
    """The untrained network that a ``model.json`` describes."""
    groups = load_grouping(spec["grouping"]).num_groups
    return Landmarker(spec["backbone"], groups, spec["clusters"])


@dataclass
class LandmarkPredictor:
    """A landmarker ready to predict."""

    model: Landmarker
    spec: dict[str, Any]
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> "LandmarkPredictor":
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

    @property
    def reading(self) -> Reading:
        """How landmarks are read from the maps."""
        return Reading.of(self.spec)

    def read_as(self, **changes: Any) -> "LandmarkPredictor":
        """The same model with another ``decode``, ``flip_test`` or ``channel_mask``.

        Raises:
            ValueError: that reading has its cells elsewhere than the model was trained with.
        """
        reading = replace(self.reading, **changes)
        if reading.cells != self.reading.cells:
            raise ValueError(
                f"decode {reading.decode!r} with flip_shift {reading.flip_shift} reads cells at their "
                f"{reading.cells}, the model was trained with cells at their {self.reading.cells}; "
                "train it with these settings"
            )
        return replace(self, spec={**self.spec, **asdict(reading)})

    @property
    def crop(self) -> tuple[int, int]:
        """Crop (width, height) in pixels."""
        width, height = self.spec["crop"]
        return width, height

    def matrices(self, boxes: np.ndarray) -> np.ndarray:
        """Image-to-crop matrices (N, 2, 3) of boxes (N, 4).

        An empty box is taken as a pixel wide; where it lies outside of its image the crop is black.

        Raises:
            ValueError: a box that is not of numbers.
        """
        broken = np.flatnonzero(~np.isfinite(np.reshape(boxes, (-1, 4))).all(1))
        if len(broken):
            raise ValueError(f"box {broken[0]} is {boxes[broken[0]]}, must be four finite numbers")
        return crop_matrices(boxes, self.crop, self.spec["padding"])

    def predict_crops(self, crops: Tensor, category_ids: np.ndarray) -> list[np.ndarray]:
        """Landmarks in crop pixels, (num_landmarks, 3) x, y, score a garment.

        Args:
            crops: uint8 (N, 3, h, w) as ``cut`` makes them.
            category_ids: (N,) which landmarks to read from the groups.
        """
        groups = self.predict_channels(crops, category_ids)
        return [self.grouping.ungroup(int(c), g) for c, g in zip(category_ids, groups, strict=True)]

    @torch.inference_mode()
    def predict_channels(self, crops: Tensor, category_ids: np.ndarray) -> np.ndarray:
        """All channels (N, K, 3): x, y in crop pixels, score; arguments as of ``predict_crops``."""
        reading, grouping = self.reading, self.grouping
        mirror = torch.from_numpy(grouping.mirror()) if reading.flip_test else None
        out = [np.zeros((0, grouping.num_groups, 3), np.float32)]
        for i in range(0, len(crops), BATCH):
            batch = normalize(crops[i : i + BATCH].to(self.device).float() / 255)
            with autocast(self.spec["precision"], self.device):
                heat = predict_heatmaps(
                    self.model,
                    batch.contiguous(memory_format=torch.channels_last),
                    mirror,
                    **self.spec["heatmap"],
                    shift=reading.flip_shift,
                )
            if reading.channel_mask:
                own = grouping.mask[category_ids[i : i + BATCH] - 1]
                heat = heat * torch.from_numpy(own).to(heat.device)[..., None, None]
            out.append(decode(heat, self.crop, reading).cpu().numpy())
        return np.concatenate(out)

    def predict(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        category_ids: np.ndarray,
    ) -> list[np.ndarray]:
        """Landmarks in image pixels, (num_landmarks, 3) x, y, score, one array a garment."""
        matrices = self.matrices(boxes)
        crops = cut_crops(read_image, image_ids, matrices, self.crop)
        inverse = invert_matrices(matrices)
        return [
            to_image(landmarks, matrix)
            for landmarks, matrix in zip(self.predict_crops(crops, category_ids), inverse, strict=True)
        ]
