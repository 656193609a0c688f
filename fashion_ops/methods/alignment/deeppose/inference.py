"""A trained DeepPose model and its predictions."""

from dataclasses import dataclass

import numpy as np
import torch

from fashion_ops.methods.alignment.crops import Crops
from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.dfa.inference import BATCH, TrainedStage
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.trainer import autocast


@dataclass(frozen=True)
class DeepPose:
    """A trained DeepPose: stage 1 (``first``) and the patch stages 2 and 3 that correct it."""

    first: TrainedStage
    patches: tuple[PatchStage, ...]

    @property
    def networks(self) -> int:
        """Number of CNNs; each garment passes through all of them."""
        return 1 + sum(len(stage.nets) for stage in self.patches)

    def predict(self, crops: Crops, stages: int = 3) -> np.ndarray:
        """Predict positions (N, n, 2), normalised, with the first ``stages`` (1 to 3) stages."""
        positions = self.first.predict(crops).positions
        for stage in self.patches[: stages - 1]:
            positions = correct(stage, crops, positions, self.first.spec["precision"])
        return positions


@torch.no_grad()
def correct(stage: PatchStage, crops: Crops, previous: np.ndarray, precision: str) -> np.ndarray:
    """Correct positions by one stage; returns new ones (N, n, 2), normalised.

    Args:
        stage: stage 2 or 3.
        crops: of N garments.
        previous: positions (N, n, 2) of the previous stage, normalised.
        precision: ``auto``, ``fp32`` or ``bf16``.
    """
    stage.eval()
    device = next(stage.parameters()).device
    out = np.zeros_like(previous)
    for start in range(0, len(crops), BATCH):
        rows = np.arange(start, min(start + BATCH, len(crops)))
        pixels = normalize(crops.take(rows).to(device) / 255)
        with autocast(precision, device):
            corrected = stage(pixels, torch.from_numpy(previous[rows]).to(device))
        out[rows] = corrected.float().cpu()
    return out
