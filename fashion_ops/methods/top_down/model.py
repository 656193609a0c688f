"""The landmarker: a backbone, one heatmap a landmark group, and a head for pseudo-labels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.freezing import Freezing
from fashion_ops.methods.parts.landmarker_backbones import landmarker_backbone
from fashion_ops.taxonomy import NUM_CATEGORIES


class Landmarker(Freezing):
    """Crops (B, 3, H, W) to heatmaps (B, groups, H/4, W/4) of all landmark groups.

    Args:
        backbone: one of ``parts.backbones.LANDMARKERS``.
        groups: output channels, one a landmark group.
        clusters: pseudo-labels per category, or 0 for no label head.
        pretrained: name of weights, see ``landmarker_backbone``, or None.
    """

    def __init__(
        self, backbone: str, groups: int, clusters: int = 0, pretrained: str | None = None
    ) -> None:
        super().__init__()
        self.trunk = landmarker_backbone(backbone, pretrained)
        self.head = nn.Conv2d(self.trunk.channels[0], groups, 1)
        nn.init.normal_(self.head.weight, std=0.001)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.clusters = clusters
        if clusters:
            self.label_head = nn.Linear(self.trunk.channels[-1], NUM_CATEGORIES * clusters)

    def freeze_backbone(self) -> None:
        """Train only the heads and the neck, where there is one."""
        self.freeze(self.trunk.net)

    def keep_channels(self, channels: Tensor) -> None:
        """Reduce the head, in place, to these output channels (n,), in this order."""
        wider = self.head
        assert wider.bias is not None
        self.head = nn.Conv2d(wider.in_channels, len(channels), 1)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.weight.copy_(wider.weight[channels])
            self.head.bias.copy_(wider.bias[channels])

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b g h4 w4"]:
        """Compute the head's output for normalised crops; ``decode.activate`` makes heatmaps of it."""
        return self.head(self.trunk(x)[0])

    def with_labels(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b g h4 w4"], Float[Tensor, "b 13 k"]]:
        """Compute the output of ``forward`` and the logits of the K pseudo-labels of each category."""
        maps = self.trunk(x)
        logits = self.label_head(maps[-1].mean((2, 3)))
        return self.head(maps[0]), logits.view(-1, NUM_CATEGORIES, self.clusters)
