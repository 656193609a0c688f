"""Training of the N networks of a patch stage."""

import numpy as np
import torch
from torch import Tensor

from fashion_ops.methods.alignment.crops import from_pixels
from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.dfa.loss import position_loss
from fashion_ops.methods.alignment.dfa.module import warp_of
from fashion_ops.methods.parts.augment import normalize, warp_batch
from fashion_ops.methods.parts.trainer import TrainingModule
from fashion_ops.params import DfaStage


class PatchModule(TrainingModule):
    """A ``PatchStage`` on batches of ``AlignmentSamples`` with previous positions.

    The networks share the batches and nothing else.

    Args:
        model: the stage.
        config: optimisation and augmentation.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of augmentation and order.
    """

    def __init__(self, model: PatchStage, config: DfaStage, mirror: np.ndarray, seed: int) -> None:
        super().__init__(config, seed)
        self.model, self.warp = model, warp_of(config)
        both = np.concatenate([mirror, mirror + len(mirror)])
        self.register_buffer("mirror", torch.from_numpy(both), persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The position loss of the corrected landmarks."""
        crops = batch["crop"]
        size, mirror = crops.shape[-1], self.get_buffer("mirror")
        pixels, points = warp_batch(
            crops, batch["landmarks"], (size, size), mirror, self.warp, generator
        )
        positions = from_pixels(points[..., :2], size)
        n = positions.shape[1] // 2
        corrected = self.model(normalize(pixels), positions[:, n:])
        return {"loss": position_loss(corrected, positions[:, :n], points[:, :n, 2] > 0)}
