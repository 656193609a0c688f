"""Features of a backbone, pooled over regions of an image and concatenated.

The paper takes "off-the-shelf CNN features" at four places. It does not name the layer, the size of the
region around a point, or the features of an absent point. We take the mean of the last map at every
resolution, a square patch of ``SHARE`` of the box's longer side, and zeros.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import crop_matrices, cut

SHARE = 0.25  # side of a patch over the longer side of the garment's box
BATCH = 256


@dataclass(frozen=True)
class Places:
    """P regions in each of N images.

    Attributes:
        boxes: x1, y1, x2, y2 in image pixels.
        present: which regions exist; features of the others are 0.
        size: side of the square to which each box is scaled before it enters the backbone, pixels.
    """

    boxes: Float[np.ndarray, "n p 4"]
    present: Bool[np.ndarray, "n p"]
    size: int


def whole_images(sides: Float[np.ndarray, "n 2"], size: int) -> Places:
    """The whole of each image, given its (width, height)."""
    boxes = np.concatenate([np.zeros_like(sides), sides - 1], 1)
    return garment_boxes(boxes, size)


def garment_boxes(boxes: Float[np.ndarray, "n 4"], size: int) -> Places:
    """One box in each image."""
    return Places(boxes[:, None], np.ones((len(boxes), 1), bool), size)


def patches(
    points: Float[np.ndarray, "n p 2"],
    present: Bool[np.ndarray, "n p"],
    boxes: Float[np.ndarray, "n 4"],
    size: int,
) -> Places:
    """Squares around points of garments whose boxes are given."""
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1).clip(1)
    half = (SHARE / 2 * longer)[:, None, None]
    return Places(np.concatenate([points - half, points + half], -1), present, size)


@torch.inference_mode()
def pooled(backbone: nn.Sequential, crops: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b f"]:
    """Means over the last map at each resolution, concatenated."""
    means, last = [], crops
    for layer in backbone:
        after = layer(last)
        if after.shape[-1] < last.shape[-1]:
            means.append(last.mean((2, 3)))
        last = after.clone() if after is last else after
    return torch.cat([*means, last.mean((2, 3))], 1)


def extract(
    backbone: nn.Sequential,
    read_image: Callable[[int], np.ndarray],
    image_ids: np.ndarray,
    places: Places,
) -> Float[np.ndarray, "n pf"]:
    """Features (N, P * F) of images, region after region; zeros where a region is not present."""
    n, p = places.present.shape
    size = (places.size, places.size)
    matrices = crop_matrices(places.boxes.reshape(-1, 4), size, 1.0).reshape(n, p, 2, 3)
    backbone.eval()
    width = pooled(backbone, torch.zeros(1, 3, *size)).shape[1]
    out = np.zeros((n * p, width), np.float32)
    pending: list[tuple[int, np.ndarray]] = []

    def flush() -> None:
        crops = np.stack([crop for _, crop in pending]).transpose(0, 3, 1, 2)
        features = pooled(backbone, normalize(torch.from_numpy(crops.copy()).float() / 255))
        out[[row for row, _ in pending]] = features.numpy()
        pending.clear()

    for i in range(n):
        image = read_image(int(image_ids[i]))
        for j in np.flatnonzero(places.present[i]):
            pending.append((i * p + int(j), cut(image, matrices[i, j], size)))
        if len(pending) >= BATCH:
            flush()
    if pending:
        flush()
    return out.reshape(n, -1)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each feature over a training split."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, features: Float[np.ndarray, "n f"]) -> "Scale":
        """The statistics of these features; a constant feature becomes 0."""
        std = features.std(0)
        return cls(features.mean(0), np.where(std > 1e-6, std, np.inf))

    def __call__(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
        """Features minus the mean, divided by the standard deviation, float32."""
        return ((features - self.mean) / self.std).astype(np.float32)
