"""The landmarker: a backbone, a head for the landmarks, and a head for pseudo-labels."""

from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.backbones import landmarker_backbone
from fashion_ops.methods.parts.flow import RealNVP
from fashion_ops.methods.parts.freezing import Freezing
from fashion_ops.methods.parts.heatmaps import Crop
from fashion_ops.methods.top_down.heads import (
    HEADS,
    RLEHead,
    SimCCHead,
    heatmap_head,
    kept_maps,
)
from fashion_ops.taxonomy import NUM_CATEGORIES


class Landmarker(Freezing):
    """Crops (B, 3, H, W) to the output of its head for all landmark groups, see ``heads``.

    Args:
        backbone: name of an HRNet, a ResNet, an EfficientNet-Lite or a ViT, see
            ``parts.backbones.landmarker_backbone``.
        groups: output channels, one a landmark group.
        clusters: pseudo-labels per category, or 0 for no label head.
        pretrained: name of timm weights, for an HRNet or a ViT also a file of weights,
            for ``tf_efficientnet_lite0`` also ``package``, or None.
        head: ``heatmap | simcc | rle``.
        crop: (W, H) in pixels, which a ViT and the head ``simcc`` are made for.

    Raises:
        ValueError: unknown backbone or head, weights of another network, or a crop that is missing.
        OSError: the pretrained weights can't be loaded.
    """

    def __init__(
        self,
        backbone: str,
        groups: int,
        clusters: int = 0,
        pretrained: str | None = None,
        head: str = "heatmap",
        crop: Crop | None = None,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head {head!r}: must be {', '.join(HEADS[:-1])} or {HEADS[-1]}")
        self.trunk = landmarker_backbone(backbone, pretrained, crop)
        if head == "rle":
            self.head: nn.Module = RLEHead(self.trunk, groups)
            self.flow = RealNVP()  # of the loss; prediction does without it
        elif head == "simcc":
            if crop is None:
                raise ValueError("the head simcc is made for one size of crops, got none")
            self.head = SimCCHead(self.trunk, groups, crop)
        else:
            self.head = head_of_maps = heatmap_head(self.trunk, groups)
            assert head_of_maps.bias is not None
            nn.init.normal_(head_of_maps.weight, std=0.001)
            nn.init.zeros_(head_of_maps.bias)
        self.clusters = clusters
        if clusters:
            self.label_head = nn.Linear(self.trunk.channels[-1], NUM_CATEGORIES * clusters)

    def freeze_backbone(self) -> None:
        """Train only the heads and the neck, where there is one."""
        self.freeze(self.trunk.net)

    def keep_channels(self, channels: Tensor) -> None:
        """Reduce the head, in place, to these output channels (n,), in this order."""
        if isinstance(self.head, nn.Conv2d):
            self.head = kept_maps(self.head, channels)
        else:
            assert isinstance(self.head, SimCCHead | RLEHead)
            self.head.keep_channels(channels)

    def read(self, maps: list[Tensor]) -> Float[Tensor, "b g *rest"]:
        """Compute the head's output from the maps of the backbone."""
        return self.head(maps[0] if isinstance(self.head, nn.Conv2d) else maps)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b g *rest"]:
        """Compute the head's output for normalised crops; ``decode`` makes landmarks of it."""
        return self.read(self.trunk(x))

    def with_labels(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b g *rest"], Float[Tensor, "b 13 k"]]:
        """Compute the output of ``forward`` and the logits of the K pseudo-labels of each category."""
        maps = self.trunk(x)
        logits = self.label_head(maps[-1].mean((2, 3)))
        return self.read(maps), logits.view(-1, NUM_CATEGORIES, self.clusters)
