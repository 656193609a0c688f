"""PoseFix's coarse-to-fine loss (Moon et al., CVPR 2019, eq. 2-4).

Coarse: cross entropy between the softmax of a whole map and a one-hot map. Fine: the L1 distance of
the soft-argmax, in cells. Both have weight 1.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.parts.heatmaps import one_hot_maps, soft_argmax


def coarse_to_fine(
    logits: Float[Tensor, "b n h w"],
    cells: Float[Tensor, "b n 2"],
    weight: Float[Tensor, "b n"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Compute the cross entropy and the L1 distance, each a mean over the labelled landmarks.

    Args:
        logits: over the cells, for each landmark.
        cells: true x, y in cells.
        weight: 1 where labelled, 0 elsewhere. The published loss is a mean over all landmarks, with
            zeros for the others; this one does not shrink with the number of unlabelled ones.

    Returns:
        Cross entropy (coarse) and L1 distance in cells (fine).
    """
    size = (logits.shape[-1], logits.shape[-2])
    target = one_hot_maps(cells, size).flatten(2)
    cross_entropy = -(target * F.log_softmax(logits.float().flatten(2), -1)).sum(-1)
    distance = (soft_argmax(logits) - cells).abs().sum(-1)
    total = weight.sum().clamp_min(1)
    return (cross_entropy * weight).sum() / total, (distance * weight).sum() / total
