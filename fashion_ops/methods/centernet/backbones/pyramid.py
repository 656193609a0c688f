"""Backbones with maps at strides 4, 8, 16, 32, and a feature pyramid that merges them at stride 4."""

from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.parts.published_weights import load_timm


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Make a convolution without bias, with batch norm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions, as in ResNet and the hourglass."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)[:2]
        plain = inputs == outputs and stride == 1
        self.skip = nn.Identity() if plain else conv_bn(inputs, outputs, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        return F.relu(self.second(self.first(x)) + self.skip(x))


class SmallPyramid(nn.Module):
    """A small ResNet with a stride-4 stem; widths should be multiples of 16, which are fast in bf16.

    Args:
        widths: channels of the four stages.
        blocks: number of residual blocks of the four stages.
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = list(widths)
        self.stem = conv_bn(3, widths[0], 7, 4)
        self.stages = nn.ModuleList()
        inputs = widths[0]
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            first = BasicBlock(inputs, width, 1 if i == 0 else 2)
            more = [BasicBlock(width, width, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *more))
            inputs = width

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute from images (B, 3, H, W) the maps at strides 4, 8, 16 and 32."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class TimmPyramid(nn.Module):
    """A timm network that returns its maps at some strides.

    Args:
        name: of the network.
        pretrained: timm's name of the weights such as ``tv_in1k``, or None.
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
