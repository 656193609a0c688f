"""Hourglass-104: two stacked hourglasses of residual blocks (Newell et al., 2016; CornerNet, 2018).

Backbone and neck in one: each stack makes a map of 256 channels at stride 4. Five halvings below stride
4 require input sides that are multiples of 128. In training every stack has heads; the last one's
make the predictions.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.centernet.backbones.pyramid import BasicBlock
from fashion_ops.methods.parts.feature_pyramid import conv_bn

DIMS = (256, 256, 384, 384, 384, 512)  # of stride 4, 8, ..., 128
BLOCKS = (2, 2, 2, 2, 2, 4)  # residual blocks of each level


class Level(nn.Module):
    """One level and all below it: the sum of a branch at this size and one that goes down and up again.

    Args:
        dims: channels of this level and those below, at least two.
        blocks: number of residual blocks of these levels.
    """

    def __init__(self, dims: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        here, below, count = dims[0], dims[1], blocks[0]
        self.across = nn.Sequential(*(BasicBlock(here, here) for _ in range(count)))
        down = [BasicBlock(here, below, 2), *(BasicBlock(below, below) for _ in range(count - 1))]
        self.down = nn.Sequential(*down)
        if len(dims) > 2:
            self.inner: nn.Module = Level(dims[1:], blocks[1:])
        else:
            self.inner = nn.Sequential(*(BasicBlock(below, below) for _ in range(blocks[1])))
        up = [*(BasicBlock(below, below) for _ in range(count - 1)), BasicBlock(below, here)]
        self.up = nn.Sequential(*up)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dims[0], H, W) to the same shape."""
        low = self.up(self.inner(self.down(x)))
        return self.across(x) + F.interpolate(low, scale_factor=2.0)


class Hourglass(nn.Module):
    """Stacked hourglasses, which make one map each.

    Args:
        stacks: number of hourglasses.
        dims: channels of the levels.
        blocks: number of residual blocks of the levels.
    """

    def __init__(
        self, stacks: int = 2, dims: tuple[int, ...] = DIMS, blocks: tuple[int, ...] = BLOCKS
    ) -> None:
        super().__init__()
        width = dims[0]
        self.multiple = 4 * 2 ** (len(dims) - 1)
        self.stem = nn.Sequential(conv_bn(3, width // 2, 7, 2), BasicBlock(width // 2, width, 2))
        self.levels = nn.ModuleList(Level(dims, blocks) for _ in range(stacks))
        self.out = nn.ModuleList(conv_bn(width, width, 3) for _ in range(stacks))
        between = range(stacks - 1)
        self.keep = nn.ModuleList(conv_bn(width, width, 1)[:2] for _ in between)
        self.back = nn.ModuleList(conv_bn(width, width, 1)[:2] for _ in between)
        self.mix = nn.ModuleList(BasicBlock(width, width) for _ in between)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to maps (B, dims[0], H/4, W/4), one for each stack.

        Raises:
            ValueError: a side is no multiple of 128 (in general 4 * 2 ** levels).
        """
        height, width = x.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(
                f"an hourglass needs images whose sides are multiples of {self.multiple}, got "
                f"{width}x{height} pixels (train_detector.input_size)"
            )
        x = self.stem(x)
        maps = []
        for i, (level, out) in enumerate(zip(self.levels, self.out, strict=True)):
            maps.append(out(level(x)))
            if i < len(self.mix):
                x = self.mix[i](F.relu(self.keep[i](x) + self.back[i](maps[-1])))
        return maps
