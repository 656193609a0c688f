"""Backbones with a feature pyramid by name: maps ``0 1 2 3 pool`` at strides 4, 8, 16, 32, 64.

| name | backbone | pyramid | pretrained |
|---|---|---|---|
| resnet18, resnet50, resnext101_64x4d | torchvision | 256 wide | torchvision's, by name |
| small, tiny | a few basic blocks | 64, 32 wide | - |

With pretrained weights the stem, the first stage and the statistics of batch norm are frozen, as in the
published runs; from scratch everything is trained.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torchvision
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from fashion_ops.methods.centernet.backbones.pyramid import SmallPyramid

STRIDES = (4, 8, 16, 32, 64)
TRAINED_STAGES = 3  # last stages of a pretrained ResNet that are trained
ALL_STAGES = 5


@dataclass(frozen=True)
class Widths:
    """Channels of the pyramid's maps (``pyramid``) and of the two layers of a box head (``head``)."""

    pyramid: int = 256
    head: int = 1024


RESNETS = ("resnet18", "resnet50", "resnext101_64x4d")
SMALL: dict[str, tuple[tuple[int, ...], tuple[int, ...], Widths]] = {
    "small": ((32, 64, 128, 256), (1, 1, 2, 2), Widths(64, 256)),  # for two CPU cores
    "tiny": ((16, 16, 32, 32), (1, 1, 1, 1), Widths(32, 32)),  # tests
}


def find_widths(name: str) -> Widths:
    """Look up the widths of a backbone.

    Raises:
        ValueError: unknown name.
    """
    if name not in (*RESNETS, *SMALL):
        raise ValueError(f"unknown detection backbone {name!r}; known: {[*RESNETS, *SMALL]}")
    return SMALL[name][2] if name in SMALL else Widths()


class Pyramid(nn.Module):
    """Backbone and feature pyramid, from images (B, 3, H, W) to maps by name, always in fp32.

    torchvision gives anchors and boxes the dtype of the maps, and bf16 is coarser than a pixel.

    Args:
        name: see the table of this module.
        pretrained: torchvision's name of the weights, such as ``IMAGENET1K_V2``, or None.

    Raises:
        ValueError: unknown name or weights.
        OSError: the weights can't be loaded, for example without network access.
    """

    def __init__(self, name: str, pretrained: str | None = None) -> None:
        super().__init__()
        self.out_channels = find_widths(name).pyramid
        self.keeps_statistics = pretrained is not None
        self.net: nn.Module
        if name in RESNETS:
            self.net = _resnet(name, pretrained)
        elif pretrained is not None:
            raise ValueError(
                f"backbone {name!r} has no pretrained weights, got {pretrained!r}; "
                "set pretrained to null"
            )
        else:
            widths, blocks, _ = SMALL[name]
            self.net = _Small(SmallPyramid(widths, blocks), self.out_channels)

    def train(self, mode: bool = True) -> "Pyramid":
        """Set the mode as ``nn.Module.train`` does, but freeze statistics of pretrained batch norms."""
        super().train(mode)
        if self.keeps_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute the five maps, by name, from fine to coarse."""
        return OrderedDict((name, x.float()) for name, x in self.net(pixels).items())


class _Small(nn.Module):
    """A small ResNet with a pyramid that is ``width`` channels wide."""

    def __init__(self, backbone: SmallPyramid, width: int) -> None:
        super().__init__()
        self.trunk = backbone  # the name is part of the keys in weights.safetensors
        self.fpn = FeaturePyramidNetwork(backbone.channels, width, LastLevelMaxPool())

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute the five maps of images (B, 3, H, W), by name."""
        return self.fpn(OrderedDict(zip("0123", self.trunk(pixels), strict=True)))


def _resnet(name: str, pretrained: str | None) -> BackboneWithFPN:
    """Make torchvision's backbone with a pyramid; arguments and errors as of ``Pyramid``."""
    weights = None
    if pretrained is not None:
        known = torchvision.models.get_model_weights(name).__members__
        if pretrained not in known:
            raise ValueError(
                f"{name} has no pretrained weights {pretrained!r} in torchvision; known: {list(known)}"
            )
        weights = known[pretrained]
    try:
        return resnet_fpn_backbone(
            backbone_name=name,
            weights=weights,
            norm_layer=nn.BatchNorm2d,
            trainable_layers=ALL_STAGES if pretrained is None else TRAINED_STAGES,
        )
    except (OSError, RuntimeError) as error:
        if pretrained is None:
            raise
        raise OSError(
            f"pretrained weights '{name}.{pretrained}' can't be loaded ({error}); put them in the "
            "local model cache on a machine with network access, or set pretrained to null to train "
            "from scratch"
        ) from error
