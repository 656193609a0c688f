"""A trained DeepPose model and its predictions."""

from dataclasses import dataclass

import numpy as np
import torch

from fashion_ops.methods.alignment.crops import Crops
from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.dfa.inference import BATCH, Estimate, TrainedStage
from fashion_ops.methods.alignment.dfa.model import STATES
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.precision import autocast


@dataclass(frozen=True)
class DeepPose:
    """A trained DeepPose: stage 1 (``first``) and the patch stages 2 and 3 that correct it."""

    first: TrainedStage
    patches: tuple[PatchStage, ...]

    @property
    def networks(self) -> int:
        """Number of CNNs; each garment passes through all of them."""
        return 1 + sum(len(stage.nets) for stage in self.patches)

    def predict(self, crops: Crops, stages: int = 3) -> Estimate:
        """Predict N garments with the first ``stages`` (1 to 3) stages."""
        estimate = self.first.predict(crops)
        for stage in self.patches[: stages - 1]:
            estimate = correct(stage, crops, estimate.positions, self.first.spec["precision"])
        return estimate


@torch.no_grad()
def correct(stage: PatchStage, crops: Crops, previous: np.ndarray, precision: str) -> Estimate:
    """Correct positions by one stage, and predict visibility; there are no pseudo-labels.

    Args:
        stage: stage 2 or 3.
        crops: of N garments.
        previous: positions (N, n, 2) of the previous stage, normalised.
        precision: ``auto``, ``fp32`` or ``bf16``.
    """
    stage.eval()
    device = next(stage.parameters()).device
    n = previous.shape[1]
    positions, visibility = np.zeros_like(previous), np.zeros((len(crops), n, STATES), np.float32)
    for start in range(0, len(crops), BATCH):
        rows = np.arange(start, min(start + BATCH, len(crops)))
        pixels = normalize(crops.take(rows).to(device) / 255)
        with autocast(precision, device):
            corrected, logits = stage(pixels, torch.from_numpy(previous[rows]).to(device))
        positions[rows] = corrected.float().cpu()
        visibility[rows] = logits.float().softmax(-1).cpu()
    no_labels, no_branch = np.zeros((len(crops), 0), np.float32), np.full(len(crops), -1, np.int8)
    return Estimate(positions, visibility, no_labels, no_branch, len(stage.nets))
