"""Training of the N networks of a patch stage."""

import numpy as np
import torch
from torch import Tensor, nn

from fashion_ops.methods.alignment.deeppose.model import PatchNet, PatchStage
from fashion_ops.methods.alignment.dfa.loss import position_loss
from fashion_ops.methods.alignment.dfa.module import AlignmentModule
from fashion_ops.params import DfaStage


class PatchModule(AlignmentModule):
    """A ``PatchStage`` on batches of ``AlignmentSamples`` with previous positions.

    The networks share the batches and nothing else.

    Args:
        model: the stage.
        config: optimisation and augmentation.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of augmentation and order.
    """

    def __init__(self, model: PatchStage, config: DfaStage, mirror: np.ndarray, seed: int) -> None:
        super().__init__(config, mirror, seed, previous=True)
        self.model = model

    def networks(self) -> list[nn.Module]:
        """The backbones of all landmarks."""
        assert isinstance(self.model, PatchStage)
        return [net.trunk for net in self.model.nets if isinstance(net, PatchNet)]

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the position loss of the corrected landmarks, ``loss``."""
        pixels, positions, visibility = self.augment(batch, generator)
        n = positions.shape[1] // 2
        torch.manual_seed(generator.initial_seed())  # dropout draws from the global generators
        corrected = self.model(pixels, positions[:, n:])
        return {"loss": position_loss(corrected, positions[:, :n], visibility[:, :n] > 0)}
