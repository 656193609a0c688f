"""The losses of IDPR's network: places of landmarks, and types of relations."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.alignment.idpr.model import Scores, cell_of, cells
from fashion_ops.methods.alignment.idpr.relations import Tree, nearest_type


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


def type_loss(
    trees: Sequence[Tree],
    scores: Scores,
    true: Float[Tensor, "b n 2"],
    observed: Bool[Tensor, "b n"],
    slots: Bool[Tensor, "b n"],
) -> Float[Tensor, ""]:
    """Compute the cross entropy of each relation's type at the true cell of its start.

    The loss is the mean over relations; 0 without any.

    Args:
        trees: of all kinds of garments.
        scores: of the network that was built for these trees.
        true: normalised positions.
        observed: a relation counts where both of its ends are observed.
        slots: landmarks of each garment's kind, which select its tree.
    """
    losses = []
    positions = true.double().cpu().numpy()
    for tree, types in zip(trees, scores.types, strict=True):
        members = (slots == torch.from_numpy(tree.slots).to(slots.device)).all(1)
        for relation, log_p in zip(tree.relations, types, strict=True):
            rows = (members & observed[:, relation.start] & observed[:, relation.end]).nonzero()[:, 0]
            if not len(rows):
                continue
            cell = cell_of(true[rows, relation.start], scores.side)
            target = torch.from_numpy(nearest_type(relation, positions[rows.cpu().numpy()]))
            losses.append(F.nll_loss(log_p[rows, :, cell], target.to(true.device)))
    return torch.stack(losses).mean() if losses else scores.places.new_zeros(())
