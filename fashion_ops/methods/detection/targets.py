"""Targets that torchvision does not make: boxes in its coordinates, masks, the semantic map.

torchvision's boxes are in edge coordinates: they start at the image's edge, half a pixel before the
centre of the first pixel, which is where the catalog's coordinates start. So resizing an image only
multiplies them. torchvision does the matching, sampling and box coding
(``RoIHeads.select_training_samples``).
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


def to_edges(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Convert boxes from the catalog's pixels to edge coordinates, which are larger by 0.5."""
    return boxes + 0.5


def from_edges(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Convert boxes from edge coordinates to the catalog's pixels, which are smaller by 0.5."""
    return boxes - 0.5


def mirror_boxes(boxes: Float[Tensor, "n 4"], width: int) -> Float[Tensor, "n 4"]:
    """Mirror boxes, in edge coordinates, in an image ``width`` pixels wide."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], 1)


def polygon_mask(polygons: Sequence[np.ndarray] | np.ndarray, height: int, width: int) -> np.ndarray:
    """Draw the union of a garment's polygons as uint8 (height, width), 0 or 1.

    Each polygon is filled separately. Later polygons of DeepFashion2 repeat parts of the first, and if
    they were filled together, an area that two of them cover would count as outside.

    Args:
        polygons: flat x, y lists in the catalog's pixels.
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
    """Draw the category of each pixel, 0 without a garment, ``IGNORED`` outside of the image.

    Where garments overlap, the smaller one is drawn on top, as a top in front of a dress.

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


def resize_semantic_map(maps: Int[Tensor, "b h w"], size: tuple[int, int]) -> Int[Tensor, "b sh sw"]:
    """Resize semantic maps to a feature map's (height, width) by the nearest pixel."""
    return F.interpolate(maps[:, None].float(), size=size, mode="nearest")[:, 0].long()


def equal_to_any(boxes: Float[Tensor, "n 4"], truth: Float[Tensor, "g 4"]) -> Bool[Tensor, " n"]:
    """Find the boxes that equal a ground-truth box.

    torchvision adds the ground-truth boxes to the proposals in training; they are not refined further.
    """
    return (boxes[:, None] == truth[None]).all(-1).any(1)
