"""The network: where each landmark is, and of which type each relation is at each place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.alignment.idpr.relations import Relation
from fashion_ops.methods.alignment.vgg import Trunk, full_precision

WIDTH = 64  # of the layer between trunk and outputs


@dataclass(frozen=True)
class Tree:
    """The tree of one kind of garment.

    ``slots``: bool (n,), the landmarks that the kind has; ``links``: pairs of them; ``relations``: both
    directions of each link, one behind the other.
    """

    slots: np.ndarray
    links: tuple[tuple[int, int], ...]
    relations: tuple[Relation, ...]


@dataclass(frozen=True)
class Scores:
    """Of B crops at g = side x side cells, row by row.

    ``places``: log p(cell | landmark) (B, n, g); ``types``: for each relation of each tree,
    log p(type | cell) (B, T, g); ``labels``: logits (B, K).
    """

    places: Float[Tensor, "b n g"]
    types: list[list[Float[Tensor, "b t g"]]]
    labels: Float[Tensor, "b k"]
    pooled: Float[Tensor, "b c"]
    side: int


class IdprNet(nn.Module):
    """Crops (B, 3, S, S) to ``Scores`` at half the stride of the trunk's last map.

    Args:
        backbone: a trunk of ``alignment.vgg``, without its last pooling and fully connected layers.
        input_size: S.
        landmarks: n.
        trees: of all kinds of garments.
        clusters: K of the pseudo-labels, 0 for no such head.
        pretrained: torchvision's name of the weights, or None.
    """

    def __init__(
        self,
        backbone: str,
        input_size: int,
        landmarks: int,
        trees: Sequence[Tree],
        clusters: int = 0,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        features = Trunk(backbone, input_size, pretrained).features
        assert isinstance(features, nn.Sequential)
        layers = list(features)[:-1]  # without the last pooling
        self.features = nn.Sequential(*layers)
        channels = next(m.out_channels for m in reversed(layers) if isinstance(m, nn.Conv2d))
        self.landmarks, self.clusters = landmarks, clusters
        self.sizes = [[len(r.means) for r in tree.relations] for tree in trees]
        self.mix = nn.Conv2d(channels, WIDTH, 3, padding=1)
        self.out = nn.Conv2d(WIDTH, landmarks + sum(map(sum, self.sizes)), 1)
        self.label_head = nn.Linear(channels, clusters) if clusters else None

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Scores:
        """Of ``normalize``d pixels."""
        x = self.features(pixels)
        pooled = x.float().mean((2, 3))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
        x = self.out(F.relu(self.mix(x))).float()
        side = x.shape[-1]
        x = x.flatten(2)
        types, at = [], self.landmarks
        for sizes in self.sizes:
            types.append([])
            for t in sizes:
                types[-1].append(x[:, at : at + t].log_softmax(1))
                at += t
        labels = pooled.new_zeros(len(x), 0)
        if self.label_head is not None:
            with full_precision():
                labels = self.label_head(pooled)
        return Scores(x[:, : self.landmarks].log_softmax(-1), types, labels, pooled, side)


def cells(side: int, device: torch.device) -> Float[Tensor, "g 2"]:
    """Normalised positions of the cells' centres, row by row."""
    steps = (torch.arange(side, device=device) + 0.5) / side - 0.5
    ys, xs = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([xs, ys], -1).view(-1, 2)


def place_loss(
    places: Float[Tensor, "b n g"],
    true: Float[Tensor, "b n 2"],
    observed: Bool[Tensor, "b n"],
    side: int,
) -> Float[Tensor, ""]:
    """Cross entropy to a Gaussian of one cell around each observed landmark, mean over them."""
    squared = (cells(side, true.device) - true[:, :, None]).square().sum(-1) * side**2
    target = (-0.5 * squared).softmax(-1)
    each = -(target * places).sum(-1)
    return (each * observed).sum() / observed.sum().clamp_min(1)


def cell_of(positions: Float[Tensor, "b 2"], side: int) -> Tensor:
    """The cell (B,) that a normalised position lies in; the nearest one from outside."""
    xy = ((positions + 0.5) * side).long().clamp(0, side - 1)
    return xy[:, 1] * side + xy[:, 0]


def refine(
    places: Float[Tensor, "b n g"], chosen: Tensor, side: int, reach: float = 1.6
) -> Float[Tensor, "b n 2"]:
    """From the best cells (B, n) to positions: the mean over the cells around each, by probability."""
    where = cells(side, places.device)
    squared = (where[None, None] - where[chosen][:, :, None]).square().sum(-1) * side**2
    near = places.masked_fill(squared > reach**2, float("-inf")).softmax(-1)
    return near @ where
