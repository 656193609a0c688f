"""CenterNet's Hourglass and DLA-34, written plainly under the names of its published checkpoints."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class Convolution(nn.Module):
    """``conv`` and, unless it is a head's, ``bn``."""

    def __init__(self, kernel: int, a: int, b: int, stride: int = 1, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=not norm)
        self.bn = nn.BatchNorm2d(b) if norm else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class Residual(nn.Module):
    """Two 3x3 convolutions and a ``skip``, which is empty where nothing changes."""

    def __init__(self, a: int, b: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        changes = [nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)]
        self.skip = nn.Sequential(*(changes if a != b or stride != 1 else []))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.skip(x)).relu()


def residuals(a: int, b: int, count: int, stride: int = 1) -> nn.Sequential:
    """The change of width and stride in the first of ``count`` blocks."""
    rest = [Residual(b, b) for _ in range(count - 1)]
    return nn.Sequential(Residual(a, b, stride), *rest)


class Kp(nn.Module):
    """One level of an hourglass: ``up1`` beside ``low1``, ``low2``, ``low3``."""

    def __init__(self, dims: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        a, b, n = dims[0], dims[1], blocks[0]
        self.up1 = residuals(a, a, n)
        self.low1 = residuals(a, b, n, 2)
        self.low2 = Kp(dims[1:], blocks[1:]) if len(dims) > 2 else residuals(b, b, blocks[1])
        self.low3 = nn.Sequential(*(Residual(b, b) for _ in range(n - 1)), Residual(b, a))

    def forward(self, x: Tensor) -> Tensor:
        low = self.low3(self.low2(self.low1(x)))
        return self.up1(x) + low.repeat_interleave(2, 2).repeat_interleave(2, 3)


class PublishedHourglass(nn.Module):
    """Two stacks with heads of these channels."""

    def __init__(
        self, dims: tuple[int, ...], blocks: tuple[int, ...], heads: dict[str, int], width: int
    ) -> None:
        super().__init__()
        d = dims[0]
        self.pre = nn.Sequential(Convolution(7, 3, d // 2, 2), Residual(d // 2, d, 2))
        self.kps = nn.ModuleList(Kp(dims, blocks) for _ in range(2))
        self.cnvs = nn.ModuleList(Convolution(3, d, d) for _ in range(2))
        self.inters = nn.ModuleList([Residual(d, d)])
        one = lambda: nn.Sequential(nn.Conv2d(d, d, 1, bias=False), nn.BatchNorm2d(d))  # noqa: E731
        self.inters_, self.cnvs_ = nn.ModuleList([one()]), nn.ModuleList([one()])
        self.heads = tuple(heads)
        for name, channels in heads.items():
            both = [
                nn.Sequential(Convolution(3, d, width, norm=False), nn.Conv2d(width, channels, 1))
                for _ in range(2)
            ]
            setattr(self, name, nn.ModuleList(both))

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        x, out = self.pre(x), []
        for i in range(2):
            y = self.cnvs[i](self.kps[i](x))
            out.append({name: getattr(self, name)[i](y) for name in self.heads})
            if i == 0:
                x = self.inters[0]((self.inters_[0](x) + self.cnvs_[0](y)).relu())
        return out


class Block(nn.Module):
    """DLA's residual block, whose shortcut comes from outside."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + shortcut).relu()


class Root(nn.Module):
    """A 1x1 convolution of everything concatenated."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b)

    def forward(self, parts: list[Tensor]) -> Tensor:
        return self.bn(self.conv(torch.cat(parts, 1))).relu()


class Tree(nn.Module):
    """DLA's tree of one or two levels; the outer ``project`` of two levels is never used."""

    def __init__(self, levels: int, a: int, b: int, stride: int, root: int, keeps: bool) -> None:
        super().__init__()
        root = (root or 2 * b) + (a if keeps else 0)
        self.levels, self.keeps = levels, keeps
        self.down = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        if a != b:
            self.project = nn.Sequential(nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b))
        if levels == 1:
            self.tree1: nn.Module = Block(a, b, stride)
            self.tree2: nn.Module = Block(b, b, 1)
            self.root = Root(root, b)
        else:
            self.tree1 = Tree(levels - 1, a, b, stride, 0, False)
            self.tree2 = Tree(levels - 1, b, b, 1, root + b, False)

    def forward(self, x: Tensor, children: list[Tensor]) -> Tensor:
        small = self.down(x)
        kept = [*children, small] if self.keeps else children
        if self.levels == 1:
            first = self.tree1(x, self.project(small) if hasattr(self, "project") else small)
            return self.root([self.tree2(first, first), first, *kept])
        first = self.tree1(x, [])
        return self.tree2(first, [*kept, first])


class Base(nn.Module):
    """DLA-34 down to stride 32; ``fc`` is the classifier of ImageNet."""

    def __init__(self) -> None:
        super().__init__()
        plain = lambda a, b, k, s: nn.Sequential(  # noqa: E731
            nn.Conv2d(a, b, k, s, k // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()
        )
        self.base_layer, self.level0 = plain(3, 16, 7, 1), plain(16, 16, 3, 1)
        self.level1 = plain(16, 32, 3, 2)
        self.level2 = Tree(1, 32, 64, 2, 0, False)
        self.level3 = Tree(2, 64, 128, 2, 0, True)
        self.level4 = Tree(2, 128, 256, 2, 0, True)
        self.level5 = Tree(1, 256, 512, 2, 0, True)
        self.fc = nn.Conv2d(512, 1000, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.level1(self.level0(self.base_layer(x)))
        maps = []
        for level in (self.level2, self.level3, self.level4, self.level5):
            x = level(x, [])
            maps.append(x)
        return maps


class Dcn(nn.Module):
    """DCNv2: ``weight``, ``bias`` and a convolution of offsets and mask."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, 3, 3) / (9 * a) ** 0.5)
        self.bias = nn.Parameter(torch.randn(b) / 10)
        self.conv_offset_mask = nn.Conv2d(a, 27, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_offset_mask(x)
        offset, mask = y[:, :18], y[:, 18:].sigmoid()
        return deform_conv2d(x, offset, self.weight, self.bias, padding=(1, 1), mask=mask)


class DeformConv(nn.Module):
    """``conv`` and ``actf``."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv, self.actf = Dcn(a, b), nn.Sequential(nn.BatchNorm2d(b), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.actf(self.conv(x))


class Ida(nn.Module):
    """Aggregation of maps from fine to coarse into the width of the finest."""

    def __init__(self, width: int, channels: list[int], factors: list[int]) -> None:
        super().__init__()
        for i, (a, f) in enumerate(zip(channels, factors, strict=True), 1):
            up = nn.ConvTranspose2d(width, width, 2 * f, f, f // 2, groups=width, bias=False)
            setattr(self, f"proj_{i}", DeformConv(a, width))
            setattr(self, f"up_{i}", up)
            setattr(self, f"node_{i}", DeformConv(width, width))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        out = [maps[0]]
        for i, x in enumerate(maps[1:], 1):
            x = getattr(self, f"up_{i}")(getattr(self, f"proj_{i}")(x))
            out.append(getattr(self, f"node_{i}")(x + out[-1]))
        return out


class PublishedDla(nn.Module):
    """DLA-34 with DCNv2 and heads of these channels."""

    def __init__(self, heads: dict[str, int], width: int = 256) -> None:
        super().__init__()
        self.base = Base()
        self.dla_up = nn.Module()
        self.dla_up.ida_0 = Ida(256, [512], [2])
        self.dla_up.ida_1 = Ida(128, [256, 256], [2, 2])
        self.dla_up.ida_2 = Ida(64, [128, 128, 128], [2, 2, 2])
        self.ida_up = Ida(64, [128, 256], [2, 4])
        self.heads = tuple(heads)
        for name, channels in heads.items():
            layers = nn.Conv2d(64, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, channels, 1)
            setattr(self, name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        a, b, c, d = self.base(x)
        up: Any = self.dla_up
        c8 = up.ida_0([c, d])
        b8 = up.ida_1([b, *c8])
        a8 = up.ida_2([a, *b8])
        y = self.ida_up([a8[-1], b8[-1], c8[-1]])[-1]
        return [{name: getattr(self, name)(y) for name in self.heads}]


def randomise(net: nn.Module) -> nn.Module:
    """Give every tensor of a network, statistics included, random values that keep signals in range."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            state: dict[str, Tensor] = module.state_dict()
            for name in ("weight", "running_var"):
                state[name].copy_(torch.rand(state[name].shape, generator=generator) + 0.5)
            for name in ("bias", "running_mean"):
                state[name].copy_(torch.randn(state[name].shape, generator=generator) * 0.1)
    return net.eval()
