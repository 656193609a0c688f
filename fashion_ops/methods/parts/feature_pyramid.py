"""Timm networks with maps at several strides, and feature pyramids that merge these at stride 4."""

from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.parts.published_weights import load_timm


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Make a convolution without bias, with batch norm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class TimmPyramid(nn.Module):
    """A timm network that returns its maps at some strides.

    Args:
        name: of the network.
        pretrained: timm's name of the weights such as ``tv_in1k``, ``package``, or None.
        strides: of the maps, from fine to coarse.

    Raises:
        OSError: the pretrained weights can't be loaded.
    """

    def __init__(
        self, name: str, pretrained: str | None, strides: tuple[int, ...] = (4, 8, 16, 32)
    ) -> None:
        super().__init__()
        self.net = load_timm(name, pretrained, "train_detector.pretrained", features_only=True)
        has: list[int] = self.net.feature_info.reduction()  # type: ignore[union-attr,operator]
        self.levels = [has.index(s) for s in strides]
        widths: list[int] = self.net.feature_info.channels()  # type: ignore[union-attr,operator]
        self.channels = [widths[i] for i in self.levels]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute from images (B, 3, H, W) the maps at ``strides``, from fine to coarse."""
        maps = self.net(x)
        return [maps[i] for i in self.levels]


class TopDown(nn.Module):
    """Feature pyramid: coarse maps are upsampled and added to finer ones, down to stride 4.

    Args:
        channels: of the maps, from fine to coarse.
        width: channels of the result.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(n, width, 1) for n in channels)
        self.out = conv_bn(width, width, 3)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Merge maps, given from fine to coarse, and return [(B, width, H/4, W/4)], for one stack."""
        x = self.lateral[-1](maps[-1])
        for lateral, fine in zip(reversed(self.lateral[:-1]), reversed(maps[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2.0) + lateral(fine)
        return [self.out(x)]


class FeaturePyramid(nn.Module):
    """``TopDown`` with a 3x3 convolution at every stride: a neck for a backbone that stays frozen.

    Args:
        channels: of the maps, from fine to coarse.
        width: channels of the result.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(n, width, 1) for n in channels)
        self.smooth = nn.ModuleList(conv_bn(width, width, 3) for _ in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Merge maps, given from fine to coarse, and return [(B, width, H/4, W/4)], for one stack."""
        levels = list(zip(maps, self.lateral, self.smooth, strict=True))
        coarse, lateral, smooth = levels.pop()
        x = smooth(lateral(coarse))
        for fine, lateral, smooth in reversed(levels):
            x = smooth(F.interpolate(x, scale_factor=2.0) + lateral(fine))
        return [x]
