"""The heads of a landmarker: what it outputs for each landmark.

- ``heatmap``: a map at stride 4. Over a map at stride 4 a 1x1 convolution; over a ViT's map at stride
  16 ViTPose's simple decoder: ReLU, bilinear upsampling by 4, a 3x3 convolution (arXiv 2204.12484).
- ``simcc``: a classification of x and one of y, with two bins a pixel: a 1x1 convolution to one map a
  landmark, which a layer for x and one for y read whole (SimCC, Li et al., ECCV 2022, section 3.1).
- ``rle``: x, y and their standard deviations, from the pooled maps (residual log-likelihood estimation,
  Li et al., ICCV 2021).

Every head returns one tensor; ``decode`` makes landmarks of it.
"""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.parts.backbones import Backbone
from fashion_ops.methods.parts.heatmaps import STRIDE, Crop
from fashion_ops.methods.parts.precision import full_precision
from fashion_ops.methods.parts.vit import PATCH, ViT

HEADS = ("heatmap", "simcc", "rle")
BINS = 2  # of SimCC, a pixel

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class SimpleDecoder(nn.Conv2d):
    """ViTPose's simple decoder, from a map at stride 16 to heatmaps at stride 4."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute the heatmaps (B, K, H/4, W/4) of a map (B, D, H/16, W/16)."""
        larger = F.interpolate(
            F.relu(input), scale_factor=PATCH // STRIDE, mode="bilinear", align_corners=False
        )
        return super().forward(larger)


def heatmap_head(trunk: Backbone, landmarks: int) -> nn.Conv2d:
    """Make the head that computes heatmaps from the backbone's first map."""
    if isinstance(trunk, ViT):
        return SimpleDecoder(trunk.channels[0], landmarks, 3, padding=1)
    return nn.Conv2d(trunk.channels[0], landmarks, 1)


class SimCCHead(nn.Module):
    """The backbone's first map (B, C, h, w) to logits of x and y, (B, K, 2 W + 2 H).

    Args:
        trunk: the backbone.
        landmarks: their number K.
        crop: (W, H), pixels.
    """

    def __init__(self, trunk: Backbone, landmarks: int, crop: Crop) -> None:
        super().__init__()
        stride = PATCH if isinstance(trunk, ViT) else STRIDE
        cells = (crop[0] // stride) * (crop[1] // stride)
        self.maps = nn.Conv2d(trunk.channels[0], landmarks, 1)
        self.x = nn.Linear(cells, BINS * crop[0])
        self.y = nn.Linear(cells, BINS * crop[1])

    def forward(self, maps: list[Tensor]) -> Float[Tensor, "b k bins"]:
        """Compute the logits of the bins of x, then of those of y."""
        flat = self.maps(maps[0]).flatten(2)
        return torch.cat([self.x(flat), self.y(flat)], -1)

    def keep_channels(self, channels: Tensor) -> None:
        """Reduce the head, in place, to these landmarks (n,), in this order."""
        self.maps = kept_maps(self.maps, channels)


class RLEHead(nn.Module):
    """The backbone's maps to x, y and their standard deviations, (B, K, 4), as shares of the crop.

    Pixel x is the share ``(x + 1/2) / W``, so that a mirror takes a share s to 1 - s.

    Args:
        trunk: the backbone, whose maps are all pooled.
        landmarks: their number K.
    """

    def __init__(self, trunk: Backbone, landmarks: int) -> None:
        super().__init__()
        self.landmarks = landmarks
        features = sum(trunk.channels)
        self.mean = nn.Linear(features, 2 * landmarks)
        self.std = nn.Linear(features, 2 * landmarks)
        for layer in (self.mean, self.std):
            nn.init.xavier_uniform_(layer.weight, gain=0.01)  # as published
            nn.init.zeros_(layer.bias)

    def forward(self, maps: list[Tensor]) -> Float[Tensor, "b k 4"]:
        """Compute mean x, mean y, std of x, std of y; the means are the middle before training."""
        pooled = torch.cat([m.float().mean((2, 3)) for m in maps], 1)
        with full_precision():  # bf16 has steps of half a pixel
            mean = self.mean(pooled).unflatten(1, (self.landmarks, 2)) + 0.5
            std = self.std(pooled).unflatten(1, (self.landmarks, 2)).sigmoid()
        return torch.cat([mean, std], -1)

    def keep_channels(self, channels: Tensor) -> None:
        """Reduce the head, in place, to these landmarks (n,), in this order."""
        rows = torch.stack([2 * channels, 2 * channels + 1], 1).flatten()
        self.landmarks = len(channels)
        self.mean, self.std = _kept_rows(self.mean, rows), _kept_rows(self.std, rows)


def kept_maps(wider: nn.Conv2d, outputs: Tensor) -> nn.Conv2d:
    """Make the convolution that has these output channels (n,) of another one, in this order."""
    narrow = type(wider)(
        wider.in_channels, len(outputs), wider.kernel_size[0], padding=wider.padding[0]
    )
    return _copied(narrow, wider, outputs)


def _kept_rows(wider: nn.Linear, outputs: Tensor) -> nn.Linear:
    """Make the layer that has these outputs (n,) of another one, in this order."""
    return _copied(nn.Linear(wider.in_features, len(outputs)), wider, outputs)


def _copied(narrow: Layer, wider: Layer, outputs: Tensor) -> Layer:
    """Copy some rows of the weights and biases of a wider layer."""
    assert narrow.bias is not None and wider.bias is not None
    with torch.no_grad():
        narrow.weight.copy_(wider.weight[outputs])
        narrow.bias.copy_(wider.bias[outputs])
    return narrow
