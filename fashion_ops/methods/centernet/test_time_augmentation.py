"""Test-time augmentation: merging the maps of mirrored images, and the canvas of other scales.

Flips are merged as maps, scales as detections, as in CenterNet's code (DeepMark++ 4.2.1 does not say).
"""

import math

from jaxtyping import Float, Int
from torch import Tensor

from fashion_ops.methods.centernet.codec import mirror_displacements


def merge_flipped(
    maps: dict[str, Float[Tensor, "b _ h w"]],
    flipped: dict[str, Float[Tensor, "b _ h w"]],
    mirror: Int[Tensor, " k"],
) -> dict[str, Float[Tensor, "b _ h w"]]:
    """Average the maps of images with those of the mirrored images.

    ``reg`` and ``hp_offset`` are not averaged; they stay those of ``maps``.

    Args:
        maps: of ``CenterNet.forward``, heatmaps after the sigmoid.
        flipped: the same for the mirrored images.
        mirror: permutation of the grouping's channels under a flip.
    """
    back = {name: flipped[name].flip(-1) for name in ("hm", "wh", "hps", "hm_hp")}
    back["hps"] = mirror_displacements(back["hps"], mirror)
    back["hm_hp"] = back["hm_hp"][:, mirror]
    return {**maps, **{name: (maps[name] + other) / 2 for name, other in back.items()}}


def canvas_size(size: int, scale: float, multiple: int) -> int:
    """Compute the side of the square input at another scale: ``size * scale``, rounded up.

    Args:
        size: side at scale 1, pixels.
        scale: of the test-time augmentation.
        multiple: the side is a multiple of this, pixels.
    """
    return math.ceil(round(size * scale, 6) / multiple) * multiple
