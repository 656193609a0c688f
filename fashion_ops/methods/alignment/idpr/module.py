"""Training of one IDPR network: places, types of relations and pseudo-labels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fashion_ops.methods.alignment.crops import from_pixels
from fashion_ops.methods.alignment.dfa.loss import label_loss
from fashion_ops.methods.alignment.dfa.module import warp_of
from fashion_ops.methods.alignment.dfa.targets import PseudoLabels
from fashion_ops.methods.alignment.idpr.loss import place_loss, type_loss
from fashion_ops.methods.alignment.idpr.model import IdprNet, Scores
from fashion_ops.methods.alignment.idpr.relations import Tree
from fashion_ops.methods.parts.augment import normalize, warp_batch
from fashion_ops.methods.parts.schedule import auxiliary_weight
from fashion_ops.methods.parts.trainer import TrainingModule
from fashion_ops.params import DfaStage


class IdprModule(TrainingModule):
    """An ``IdprNet`` on batches of ``AlignmentSamples``.

    Args:
        model: the network.
        config: optimisation, augmentation, and weight and decay of the pseudo-labels' loss.
        trees: those that the network was built for.
        labels: the pseudo-labels, or None to train without them.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of augmentation and order.
    """

    config: DfaStage

    def __init__(
        self,
        model: IdprNet,
        config: DfaStage,
        trees: Sequence[Tree],
        labels: PseudoLabels | None,
        mirror: np.ndarray,
        seed: int,
    ) -> None:
        super().__init__(config, seed)
        self.model, self.trees, self.labels = model, trees, labels
        self.warp = warp_of(config)
        self.register_buffer("mirror", torch.from_numpy(mirror), persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Cross entropies of places and types; the pseudo-labels' loss, weighted by DFA's eq. 4."""
        crops = batch["crop"]
        size = crops.shape[-1]
        pixels, points = warp_batch(
            crops, batch["landmarks"], (size, size), self.get_buffer("mirror"), self.warp, generator
        )
        true, observed = from_pixels(points[..., :2], size), points[..., 2] > 0
        out: Scores = self.model(normalize(pixels).contiguous(memory_format=torch.channels_last))
        place = place_loss(out.places, true, observed, out.side)
        kind = type_loss(self.trees, out, true, observed, batch["slots"])
        loss, logged = place + kind, {"place": place, "type": kind}
        if self.labels is not None:
            soft = self.labels.soft(true.double().cpu().numpy(), None, observed.cpu().numpy())
            logged["label"] = label_loss(out.labels, torch.from_numpy(soft).to(true))
            weight = auxiliary_weight(self.progress, self.config.label_weight, self.config.decay)
            loss = loss + weight * logged["label"]
        return {"loss": loss, **logged}
