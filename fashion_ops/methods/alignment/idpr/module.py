"""Training of one IDPR network: places, types of relations and pseudo-labels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fashion_ops.methods.alignment.dfa.loss import label_loss
from fashion_ops.methods.alignment.dfa.module import AlignmentModule
from fashion_ops.methods.alignment.dfa.soft_labels import SoftLabels
from fashion_ops.methods.alignment.dfa.targets import PseudoLabels
from fashion_ops.methods.alignment.idpr.loss import TypeLoss, place_loss
from fashion_ops.methods.alignment.idpr.model import IdprNet, Scores
from fashion_ops.methods.alignment.idpr.relations import Tree
from fashion_ops.params import DfaStage


class IdprModule(AlignmentModule):
    """An ``IdprNet`` on batches of ``AlignmentSamples``.

    Args:
        model: the network.
        config: optimisation, augmentation, and weight and decay of the pseudo-labels' loss.
        trees: those that the network was built for.
        labels: the pseudo-labels, or None to train without them.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of augmentation and order.
    """

    def __init__(
        self,
        model: IdprNet,
        config: DfaStage,
        trees: Sequence[Tree],
        labels: PseudoLabels | None,
        mirror: np.ndarray,
        seed: int,
    ) -> None:
        super().__init__(config, mirror, seed, previous=False)
        self.model, self.type_loss = model, TypeLoss(trees)
        self.labels = None if labels is None else SoftLabels(labels)

    def networks(self) -> list[nn.Module]:
        """The backbone."""
        assert isinstance(self.model, IdprNet)
        return [self.model.features]

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the losses ``place``, ``type`` and, with pseudo-labels, ``label``.

        ``loss`` is their weighted sum; the weight of ``label`` follows DFA's eq. 4, the others are 1.
        ``generator`` draws the augmentation.
        """
        pixels, true, visibility = self.augment(batch, generator)
        observed = visibility > 0
        out: Scores = self.model(pixels)
        place = place_loss(out.places, true, observed, out.side)
        kind = self.type_loss(out, true, observed, batch["slots"])
        loss, logged = place + kind, {"place": place, "type": kind}
        if self.labels is not None:
            logged["label"] = label_loss(out.labels, self.labels(true, None, observed))
            loss = loss + self.config.label_weight * self.share * logged["label"]
        return {"loss": loss, **logged}
