"""The landmarker: an HRNet trunk, one heatmap a landmark group, and a head for pseudo-labels."""

from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.backbones import HRNet
from fashion_ops.taxonomy import NUM_CATEGORIES

STRIDE = 4


class Landmarker(nn.Module):
    """Crop (B, 3, H, W) to heatmaps (B, groups, H/4, W/4) of its category and all others.

    Args:
        backbone: an HRNet of ``parts.backbones``.
        groups: output channels, one a landmark group.
        clusters: pseudo-labels per category, or 0 for no label head.
        pretrained: timm weights by name, or None.
    """

    def __init__(
        self, backbone: str, groups: int, clusters: int = 0, pretrained: str | None = None
    ) -> None:
        super().__init__()
        self.trunk = HRNet(backbone, pretrained)
        self.head = nn.Conv2d(self.trunk.channels[0], groups, 1)
        nn.init.normal_(self.head.weight, std=0.001)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.clusters = clusters
        if clusters:
            self.label_head = nn.Linear(self.trunk.channels[-1], NUM_CATEGORIES * clusters)

    def features(self, x: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The trunk's maps at strides 4, 8, 16, 32."""
        return self.trunk(x)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b g h4 w4"]:
        """Heatmaps; the peaks of a trained model are near 1."""
        return self.head(self.trunk(x)[0])

    def with_labels(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b g h4 w4"], Float[Tensor, "b 13 k"]]:
        """Heatmaps and pseudo-label logits of every category."""
        maps = self.trunk(x)
        logits = self.label_head(maps[-1].mean((2, 3)))
        return self.head(maps[0]), logits.view(-1, NUM_CATEGORIES, self.clusters)
