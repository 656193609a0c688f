"""PoseFix's coarse-to-fine loss (Moon et al., CVPR 2019, eq. 2-4).

Coarse: cross entropy between the softmax of a whole map and a one-hot map. Fine: the L1 distance of
the soft-argmax, in cells. Both weigh 1.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.parts.heatmaps import soft_argmax


def one_hot_maps(cells_BN2: Float[Tensor, "b n 2"], size: tuple[int, int]) -> Float[Tensor, "b n h w"]:
    """One-hot maps of sub-cell points: mass 1 spread bilinearly over the four cells around a point.

    A point outside the centres of the outermost cells goes to the nearest point between them.

    Args:
        cells_BN2: x, y in cells.
        size: (width, height) in cells.
    """
    width, height = size
    xs = cells_BN2.new_tensor(range(width))
    ys = cells_BN2.new_tensor(range(height))
    wx = (1 - (xs - cells_BN2[..., :1].clamp(0, width - 1)).abs()).clamp_min(0)
    wy = (1 - (ys - cells_BN2[..., 1:].clamp(0, height - 1)).abs()).clamp_min(0)
    return wy[..., :, None] * wx[..., None, :]


def coarse_to_fine(
    logits: Float[Tensor, "b n h w"],
    cells_BN2: Float[Tensor, "b n 2"],
    weight_BN: Float[Tensor, "b n"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(cross entropy, L1), each a mean over the labelled landmarks.

    Args:
        logits: of every landmark's place.
        cells_BN2: true x, y in cells.
        weight_BN: 1 where labelled, 0 elsewhere. (Published: a mean over all landmarks with zeros for
            the others; ours does not shrink with the number of unlabelled ones.)
    """
    size = (logits.shape[-1], logits.shape[-2])
    target = one_hot_maps(cells_BN2, size).flatten(2)
    cross_entropy = -(target * F.log_softmax(logits.float().flatten(2), -1)).sum(-1)
    distance = (soft_argmax(logits) - cells_BN2).abs().sum(-1)
    total = weight_BN.sum().clamp_min(1)
    return (cross_entropy * weight_BN).sum() / total, (distance * weight_BN).sum() / total
