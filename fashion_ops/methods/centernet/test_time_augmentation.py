"""Several looks at one image as one: mirrored maps, and one map's size after another.

Flips are fused as maps, scales as detections (as CenterNet does; DeepMark++ 4.2.1 says neither).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def merge_flipped(
    maps: dict[str, Float[Tensor, "b c h w"]],
    flipped: dict[str, Float[Tensor, "b c h w"]],
    mirror: Int[Tensor, " k"],
) -> dict[str, Float[Tensor, "b c h w"]]:
    """Maps of images averaged with those of the mirrored images.

    ``reg`` and ``hp_offset`` stay those of the images as they are. A displacement counts from its
    cell's left edge, so it mirrors as x -> 1 - x.

    Args:
        maps: of ``CenterNet.forward``, heatmaps after the sigmoid.
        flipped: the same for the mirrored images.
        mirror: permutation of the grouping's channels under a flip.
    """
    back = {name: flipped[name].flip(-1) for name in ("hm", "wh", "hps", "hm_hp")}
    moved = back["hps"].unflatten(1, (-1, 2))[:, mirror]
    turned = torch.stack([1 - moved[:, :, 0], moved[:, :, 1]], 2).flatten(1, 2)
    back |= {"hps": turned, "hm_hp": back["hm_hp"][:, mirror]}
    return {**maps, **{name: (maps[name] + other) / 2 for name, other in back.items()}}


def canvas_size(size: int, scale: float, multiple: int) -> int:
    """Side of the square input for an image fitted into ``size * scale`` pixels."""
    return math.ceil(round(size * scale, 6) / multiple) * multiple
