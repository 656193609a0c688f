"""The network: where each landmark is, and the type of each relation at each place."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.alignment.idpr.relations import Tree
from fashion_ops.methods.alignment.vgg import VGGBackbone
from fashion_ops.methods.parts.precision import full_precision

WIDTH = 64  # of the layer between backbone and outputs


@dataclass(frozen=True)
class Scores:
    """The network's predictions for B crops on a grid of g = side x side cells, row by row.

    Attributes:
        places: log p(cell | landmark).
        types: for each tree and each of its relations, log p(type | cell) over T types.
        labels: logits of K pseudo-labels.
        pooled: the backbone's features, averaged over the crop.
        side: cells along each side.
    """

    places: Float[Tensor, "b n g"]
    types: list[list[Tensor]]
    labels: Float[Tensor, "b k"]
    pooled: Float[Tensor, "b c"]
    side: int


class IdprNet(nn.Module):
    """Maps crops (B, 3, S, S) to ``Scores`` at half the stride of the backbone's last map.

    Args:
        backbone: a name of ``alignment.vgg``; its last pooling and fully connected layers are left out.
        input_size: S.
        landmarks: n.
        trees: of all kinds of garments.
        clusters: K of the pseudo-labels; 0 builds no such head.
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
        features = VGGBackbone(backbone, input_size, pretrained).features
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
        """Compute the scores of crops that ``normalize`` has normalised."""
        x = self.features(pixels)
        pooled = x.float().mean((2, 3))
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
        x = self.out(F.relu(self.mix(x))).float()
        side = x.shape[-1]
        x = x.flatten(2)
        types, first = [], self.landmarks
        for sizes in self.sizes:
            types.append([])
            for t in sizes:
                types[-1].append(x[:, first : first + t].log_softmax(1))
                first += t
        labels = pooled.new_zeros(len(x), 0)
        if self.label_head is not None:
            with full_precision():
                labels = self.label_head(pooled)
        return Scores(x[:, : self.landmarks].log_softmax(-1), types, labels, pooled, side)


def cells(side: int, device: torch.device) -> Float[Tensor, "g 2"]:
    """Compute the normalised positions x, y of the centres of g = side x side cells, row by row."""
    steps = (torch.arange(side, device=device) + 0.5) / side - 0.5
    ys, xs = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([xs, ys], -1).view(-1, 2)


def cell_of(positions: Float[Tensor, "b 2"], side: int) -> Int[Tensor, " b"]:
    """Find the index of the cell of each normalised position; outside the grid, of the nearest one."""
    xy = ((positions + 0.5) * side).long().clamp(0, side - 1)
    return xy[:, 1] * side + xy[:, 0]
