"""DLAUp, the neck of DLA, with deformable or plain convolutions (Yu et al., 2018; Zhou et al., 2019).

DeepMark++'s mDLA-34 is CenterNet's DLA-34 with every deformable convolution replaced by a 3x3 one with
bias. It has the paper's 19.5 M parameters and, counted as in the paper, its 9.691 G operations at
256x256. The backbone is timm's ``dla34``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

Convolution = Callable[[int, int], nn.Module]  # (inputs, outputs), 3x3, stride 1


def plain(inputs: int, outputs: int) -> nn.Conv2d:
    """Make a 3x3 convolution with bias, as in mDLA."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Deformable(nn.Module):
    """Modulated deformable 3x3 convolution (DCNv2): each of the nine taps has an offset and a weight.

    It is initialised with zero offsets and all weights 1/2. torchvision does not have low-precision
    kernels on every device, so the sampling runs in fp32.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = plain(inputs, outputs)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.offset_mask = nn.Conv2d(inputs, 27, 3, padding=1)  # 18 offsets (y, x), 9 weights
        nn.init.zeros_(self.offset_mask.weight)
        nn.init.zeros_(self.offset_mask.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W), of the dtype of ``x``."""
        offset, mask = self.offset_mask(x).float().split((18, 9), 1)
        assert self.conv.bias is not None
        out = deform_conv2d(
            x.float(),
            offset.contiguous(),
            self.conv.weight.float(),
            self.conv.bias.float(),
            padding=(1, 1),
            mask=mask.sigmoid(),
        )
        return out.to(x.dtype)


def bilinear_up(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Make a depthwise upsampling by ``factor`` (2 or 4), initialised as bilinear interpolation."""
    up = nn.ConvTranspose2d(
        channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False
    )
    taps = 1 - ((torch.arange(2 * factor) + 0.5) / factor - 1).abs()
    with torch.no_grad():
        up.weight.copy_(torch.outer(taps, taps).expand_as(up.weight))
    return up


def node(conv: Convolution, inputs: int, outputs: int) -> nn.Sequential:
    """Make a convolution with batch norm and ReLU."""
    return nn.Sequential(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class IterativeUp(nn.Module):
    """Iterative deep aggregation: coarser maps are projected, upsampled and added one by one.

    Args:
        conv: makes the 3x3 convolutions.
        channels: of the maps, finest first; all results have the first one's.
        factors: of each map but the first, by how much it is coarser than the first.
    """

    def __init__(self, conv: Convolution, channels: list[int], factors: list[int]) -> None:
        super().__init__()
        width = channels[0]
        self.project = nn.ModuleList(node(conv, n, width) for n in channels[1:])
        self.up = nn.ModuleList(bilinear_up(width, f) for f in factors)
        self.merge = nn.ModuleList(node(conv, width, width) for _ in factors)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return as many maps, all as large as the first; each aggregates the maps up to its own."""
        out = [maps[0]]
        for project, up, merge, x in zip(self.project, self.up, self.merge, maps[1:], strict=True):
            out.append(merge(up(project(x)) + out[-1]))
        return out


class DLAUp(nn.Module):
    """Neck from maps at strides 4, 8, 16, 32 to one at stride 4, by four aggregations.

    Args:
        conv: ``plain`` (mDLA) or ``Deformable`` (DLA).
        channels: of the four maps; the result has the first one's.
    """

    def __init__(self, conv: Convolution, channels: list[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            # map i and those after it, which earlier stages have brought to the size of map i + 1
            IterativeUp(conv, [channels[i]] + [channels[i + 1]] * (3 - i), [2] * (3 - i))
            for i in (2, 1, 0)
        )
        self.last = IterativeUp(conv, channels[:3], [2, 4])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Merge maps at strides 4, 8, 16, 32 and return [(B, channels[0], H/4, W/4)], for one stack."""
        maps = list(maps)
        ends = []
        for i, stage in zip((2, 1, 0), self.stages, strict=True):
            maps[i:] = stage(maps[i:])
            ends.insert(0, maps[-1])  # at strides 16, 8, 4
        return [self.last(ends)[-1]]


class Unused(NamedTuple):
    """Costs of layers of a published network whose output it does not use."""

    parameters: int
    macs: int
    norm_operations: int  # 2 for each value of the batch norms


def unused_projections(height: int, width: int) -> Unused:
    """Count the costs of the layers that the published DLA-34 has and timm's lacks.

    Levels 3 and 4 each have a 1x1 convolution with batch norm whose output is not used.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
    """
    parameters = macs = norm_operations = 0
    for inputs, outputs, stride in ((64, 128, 8), (128, 256, 16)):
        cells = (height // stride) * (width // stride)
        parameters += inputs * outputs + 2 * outputs
        macs += inputs * outputs * cells
        norm_operations += 2 * outputs * cells
    return Unused(parameters, macs, norm_operations)
