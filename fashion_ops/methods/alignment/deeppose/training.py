"""Training and predicting with DeepPose's three stages."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fashion_ops.methods.alignment.crops import AlignmentSamples, Crops, Shapes, from_pixels
from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.dfa.loss import position_loss
from fashion_ops.methods.alignment.dfa.stage import BATCH, Stage
from fashion_ops.methods.alignment.dfa.training import settings, train_stage
from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.trainer import TrainingModule, autocast, fit
from fashion_ops.params import DfaStage, TrainingConfig


class PatchModule(TrainingModule):
    """The N networks of a stage, side by side: they share a batch and nothing else."""

    def __init__(
        self, model: PatchStage, config: TrainingConfig, warp: Warp, mirror: Tensor, seed: int
    ) -> None:
        super().__init__(config, seed)
        self.model, self.warp = model, warp
        self.register_buffer("mirror", torch.cat([mirror, mirror + len(mirror)]), persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The position loss of the corrected landmarks."""
        crops = batch["crop"]
        size, mirror = crops.shape[-1], self.get_buffer("mirror")
        pixels, points = warp_batch(
            crops, batch["landmarks"], (size, size), mirror, self.warp, generator
        )
        positions = from_pixels(points[..., :2], size)
        n = positions.shape[1] // 2
        found = self.model(normalize(pixels), positions[:, n:])
        return {"loss": position_loss(found, positions[:, :n], points[:, :n, 2] > 0)}


@dataclass(frozen=True)
class DeepPose:
    """Stage 1 and the stages of patches behind it."""

    first: Stage
    patches: tuple[PatchStage, ...]

    @property
    def networks(self) -> int:
        """How many CNNs there are; a garment goes through all of them."""
        return 1 + sum(len(stage.nets) for stage in self.patches)

    def predict(self, crops: Crops, stages: int = 3) -> np.ndarray:
        """Positions (N, n, 2), normalised, after so many stages."""
        positions = self.first.predict(crops).positions
        for stage in self.patches[: stages - 1]:
            positions = correct(stage, crops, positions, self.first.spec["precision"])
        return positions


@torch.no_grad()
def correct(stage: PatchStage, crops: Crops, previous: np.ndarray, precision: str) -> np.ndarray:
    """What one stage makes of positions (N, n, 2)."""
    stage.eval()
    device = next(stage.parameters()).device
    out = np.zeros_like(previous)
    for start in range(0, len(crops), BATCH):
        rows = np.arange(start, min(start + BATCH, len(crops)))
        pixels = normalize(crops.take(rows).to(device) / 255)
        with autocast(precision, device):
            found = stage(pixels, torch.from_numpy(previous[rows]).to(device))
        out[rows] = found.float().cpu()
    return out


def train_deeppose(
    params: DfaStage,
    crops: Crops,
    shapes: Shapes,
    mirror: np.ndarray,
    seed: int,
    first: Stage | None = None,
) -> DeepPose:
    """Train 1 + N + N networks with DFA's data, protocol and parameters, less the pseudo-labels.

    Args:
        params: DFA's.
        crops: of the training garments.
        shapes: their landmarks.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of weights, order and augmentation.
        first: stage 1, where it is trained already (DFA's "direct regression").
    """
    plain = params.model_copy(update={"clusters": 0})
    if first is None:
        first = train_stage(1, plain, crops, shapes, mirror, seed)
    run = TrainingConfig.model_validate(params.model_dump(include=set(TrainingConfig.model_fields)))
    rows = np.flatnonzero(shapes.observed.any(axis=1))
    positions, stages = first.predict(crops).positions, []
    for number in (2, 3):
        torch.manual_seed(seed + 1_000 * number)
        stage = PatchStage(
            params.backbone, params.input_size, len(mirror), params.pretrained, params.dropout
        )
        samples = AlignmentSamples(crops, shapes, positions, rows)
        warp = settings(params, mirror).warp
        fit(PatchModule(stage, run, warp, torch.from_numpy(mirror), seed + 1_000 * number), samples)
        positions = correct(stage, crops, positions, params.precision)
        stages.append(stage)
    return DeepPose(first, tuple(stages))
