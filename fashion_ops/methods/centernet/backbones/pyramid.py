"""A small ResNet with maps at strides 4, 8, 16 and 32, and its residual block."""

from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.parts.feature_pyramid import conv_bn


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
