"""Features of a trunk, pooled over regions of an image and put in a row.

The paper takes "off-the-shelf CNN features" at four places and says no more: which layer, how large
the surroundings of a point, what stands for a point that isn't there. Ours: the mean of the last map
at every resolution; a square patch, ``SHARE`` of the box's longer side; zeros.
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
    """Where to look in N images: ``boxes`` (N, P, 4) in image pixels, ``present`` (N, P).

    ``size``: pixels that the longer side of a box gets before it enters the trunk.
    """

    boxes: Float[np.ndarray, "n p 4"]
    present: Bool[np.ndarray, "n p"]
    size: int


def whole_images(sides: Float[np.ndarray, "n 2"], size: int) -> Places:
    """Images of these (width, height) from edge to edge."""
    boxes = np.concatenate([np.zeros_like(sides), sides - 1], 1)
    return garment_boxes(boxes, size)


def garment_boxes(boxes: Float[np.ndarray, "n 4"], size: int) -> Places:
    """One box an image."""
    return Places(boxes[:, None], np.ones((len(boxes), 1), bool), size)


def patches(
    points: Float[np.ndarray, "n p 2"],
    present: Bool[np.ndarray, "n p"],
    boxes: Float[np.ndarray, "n 4"],
    size: int,
) -> Places:
    """Squares around points of garments in these boxes."""
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1).clip(1)
    half = (SHARE / 2 * longer)[:, None, None]
    return Places(np.concatenate([points - half, points + half], -1), present, size)


@torch.inference_mode()
def pooled(trunk: nn.Sequential, crops: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b f"]:
    """Means of the maps after which the resolution falls, and of the last one."""
    means, last = [], crops
    for layer in trunk:
        after = layer(last)
        if after.shape[-1] < last.shape[-1]:
            means.append(last.mean((2, 3)))
        last = after.clone() if after is last else after
    return torch.cat([*means, last.mean((2, 3))], 1)


def extract(
    trunk: nn.Sequential,
    read_image: Callable[[int], np.ndarray],
    image_ids: np.ndarray,
    places: Places,
) -> Float[np.ndarray, "n pf"]:
    """Features (N, P * F) of images, one place after the other; zeros where a place isn't there."""
    n, p = places.present.shape
    size = (places.size, places.size)
    matrices = crop_matrices(places.boxes.reshape(-1, 4), size, 1.0).reshape(n, p, 2, 3)
    trunk.eval()
    width = pooled(trunk, torch.zeros(1, 3, *size)).shape[1]
    out = np.zeros((n * p, width), np.float32)
    waiting: list[tuple[int, np.ndarray]] = []

    def flush() -> None:
        crops = np.stack([crop for _, crop in waiting]).transpose(0, 3, 1, 2)
        features = pooled(trunk, normalize(torch.from_numpy(crops.copy()).float() / 255))
        out[[row for row, _ in waiting]] = features.numpy()
        waiting.clear()

    for i in range(n):
        image = read_image(int(image_ids[i]))
        for j in np.flatnonzero(places.present[i]):
            waiting.append((i * p + int(j), cut(image, matrices[i, j], size)))
        if len(waiting) >= BATCH:
            flush()
    if waiting:
        flush()
    return out.reshape(n, -1)


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each feature over a training split."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: Float[np.ndarray, "n f"]) -> "Scale":
        """Those of these features; a feature that never changes stays 0."""
        deviation = features.std(0)
        return cls(features.mean(0), np.where(deviation > 1e-6, deviation, np.inf))

    def __call__(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
        """Features of mean 0 and deviation 1, as far as they are like the training split's."""
        return ((features - self.mean) / self.deviation).astype(np.float32)
