"""What torchvision lacks of the targets: masks from polygons, the semantic map, who was added.

Matching, sampling and coding of boxes are torchvision's (``RoIHeads.select_training_samples``).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.detection.loss import IGNORED

_SUBPIXEL_BITS = 4


def polygon_mask(polygons: Sequence[np.ndarray] | np.ndarray, height: int, width: int) -> np.ndarray:
    """The union of a garment's polygons as uint8 (height, width), 0 or 1.

    DeepFashion2's later polygons repeat parts of the first, so each is filled on its own: filled
    together, what two cover would count as outside.

    Args:
        polygons: flat x, y lists, pixel centres.
        height: of the image.
        width: of the image.
    """
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        points = np.asarray(polygon, np.float64).reshape(-1, 1, 2) * 2**_SUBPIXEL_BITS
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], (1,), shift=_SUBPIXEL_BITS)
    return mask


def semantic_map(
    masks: UInt8[Tensor, "g h w"], labels: Int[Tensor, " g"], canvas: tuple[int, int]
) -> Int[Tensor, "ch cw"]:
    """Category of each pixel, 0 where there is no garment, ``IGNORED`` beyond the image.

    Where garments overlap the smaller one shows: a top in front of a dress covers less than the dress.

    Args:
        masks: of the garments of one image.
        labels: their categories.
        canvas: (height, width) of the padded image.
    """
    height, width = masks.shape[-2:]
    categories = torch.zeros(height, width, dtype=torch.int64, device=masks.device)
    for i in masks.flatten(1).sum(1).argsort(descending=True, stable=True):
        categories[masks[i] > 0] = labels[i]
    return F.pad(categories, (0, canvas[1] - width, 0, canvas[0] - height), value=IGNORED)


def shrunk_map(maps: Int[Tensor, "b h w"], size: tuple[int, int]) -> Int[Tensor, "b sh sw"]:
    """Semantic maps at a feature map's (height, width): the nearest pixel's category."""
    return F.interpolate(maps[:, None].float(), size=size, mode="nearest")[:, 0].long()


def equal_to_any(boxes: Float[Tensor, "n 4"], truth: Float[Tensor, "g 4"]) -> Bool[Tensor, " n"]:
    """Which boxes are ground truth that was added to the proposals; those are not refined further."""
    return (boxes[:, None] == truth[None]).all(-1).any(1)
