"""EfficientNet-Lite and a feature pyramid as the backbone of a landmarker."""

from typing import Any

from torch import Tensor, nn

from fashion_ops.methods.parts.feature_pyramid import FeaturePyramid
from fashion_ops.methods.parts.published_weights import load_timm

LITES = tuple(f"tf_efficientnet_lite{n}" for n in range(5))
WIDTH = 64


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

    stem_stride = 4  # pixels a cell of the stem's map

    def __init__(self, name: str, pretrained: str | None = None, setting: str = "pretrained") -> None:
        super().__init__()
        self.net = load_timm(name, pretrained, setting, features_only=True)
        info: Any = self.net.feature_info
        levels = [level for level in info.get_dicts() if level["reduction"] >= 4]
        self.ends = [int(level["stage"]) for level in levels]  # blocks before each map
        widths = [int(level["num_chs"]) for level in levels]
        self.stem_channels = widths[0]
        self.neck = FeaturePyramid(widths, WIDTH)
        self.channels = [WIDTH, widths[-1]]

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
