"""The losses of IDPR's network: places of landmarks, and types of relations."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fashion_ops.methods.alignment.idpr.model import Scores, cell_of, cells
from fashion_ops.methods.alignment.idpr.relations import Tree


def place_loss(
    places: Float[Tensor, "b n g"],
    true: Float[Tensor, "b n 2"],
    observed: Bool[Tensor, "b n"],
    side: int,
) -> Float[Tensor, ""]:
    """Compute the cross entropy to a Gaussian of one cell around each observed landmark, as their mean.

    Args:
        places: log p(cell | landmark).
        true: normalised positions.
        observed: landmarks that count.
        side: cells along each side; g is its square.
    """
    squared = (cells(side, true.device) - true[:, :, None]).square().sum(-1) * side**2
    target = (-0.5 * squared).softmax(-1)
    losses = -(target * places).sum(-1)
    return (losses * observed).sum() / observed.sum().clamp_min(1)


class TypeLoss(nn.Module):
    """The cross entropy of each relation's type at the true cell of its start.

    All relations are computed at once on the device of the batch, without waiting for it.

    Args:
        trees: of all kinds of garments.
    """

    def __init__(self, trees: Sequence[Tree]) -> None:
        super().__init__()
        relations = [relation for tree in trees for relation in tree.relations]
        sizes = [len(relation.means) for relation in relations]
        means = np.full((len(relations), max(sizes, default=0), 2), np.inf)  # no type is that far off
        spread = np.ones_like(means)
        for k, (relation, size) in enumerate(zip(relations, sizes, strict=True)):
            means[k, :size], spread[k, :size] = relation.means, relation.spread
        values = {
            "slots": np.stack([tree.slots for tree in trees]),
            "tree": np.repeat(np.arange(len(trees)), [len(tree.relations) for tree in trees]),
            "start": np.array([relation.start for relation in relations], np.int64),
            "end": np.array([relation.end for relation in relations], np.int64),
            "first": np.array([0, *np.cumsum(sizes)[:-1]], np.int64),  # type of each relation
            "means": means,
            "spread": spread,
        }
        for name, value in values.items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)

    def forward(
        self,
        scores: Scores,
        true: Float[Tensor, "b n 2"],
        observed: Bool[Tensor, "b n"],
        slots: Bool[Tensor, "b n"],
    ) -> Float[Tensor, ""]:
        """Compute the loss: the mean over relations of the mean over their garments; 0 without any.

        Args:
            scores: of the network that was built for the trees.
            true: normalised positions.
            observed: a relation counts where both of its ends are observed.
            slots: landmarks of each garment's kind, which select its tree.
        """
        log_p = torch.cat([types for tree in scores.types for types in tree], 1)
        start, end = self.get_buffer("start"), self.get_buffer("end")
        members = (slots[:, None] == self.get_buffer("slots")).all(-1)[:, self.get_buffer("tree")]
        counts = members & observed[:, start] & observed[:, end]
        types = self.get_buffer("first") + self._nearest(true.double())
        cell = cell_of(true[:, start].flatten(0, 1), scores.side).view_as(types)
        losses = -log_p[torch.arange(len(true), device=true.device)[:, None], types, cell]
        garments = counts.sum(0)
        means = torch.where(counts, losses, 0.0).sum(0) / garments.clamp_min(1)
        return means.sum() / (garments > 0).sum().clamp_min(1)

    def _nearest(self, true: Float[Tensor, "b n 2"]) -> Int[Tensor, "b r"]:
        """The type of each relation in each garment, an index into its ``means``."""
        offsets = true[:, self.get_buffer("end")] - true[:, self.get_buffer("start")]
        scaled = (offsets[:, :, None] - self.get_buffer("means")) / self.get_buffer("spread")
        return scaled.square().sum(-1).argmin(-1)
