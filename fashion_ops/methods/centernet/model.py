"""CenterNet with landmarks: a pyramid to stride 4 and six heads (Zhou et al., 2019; DeepMark++).

Backbones by name; each gives maps at strides 4, 8, 16, 32 to the same top-down neck:

- ``small``: a ResNet-like pyramid with a stride-4 stem, for two CPU cores; no pretrained weights;
- ``hrnet_*``: parts.backbones.HRNet;
- ``dla34`` and its kin: timm's networks as they are.

Another family is another entry of ``BACKBONES``. DCN-free; DLA's own neck (DLAUp) does not live here.
"""

from collections.abc import Callable

import timm
import torch
from jaxtyping import Float, Int
from timm.models.hrnet import cfg_cls
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.parts.backbones import SMALL_HRNETS, HRNet
from fashion_ops.taxonomy import NUM_CATEGORIES

STRIDE = 4
HEATMAP_BIAS = -2.19  # log(0.1 / 0.9): every cell starts at 10 %
# What one unit of a regression head's output means, in cells: garments are tens of cells wide, and a
# head that starts near 0 takes long to get there. Offsets lie within a cell.
UNITS = {"wh": 8.0, "hps": 8.0, "reg": 1.0, "hp_offset": 1.0}


def head_channels(num_landmarks: int) -> dict[str, int]:
    """Output channels of the six heads; ``num_landmarks`` counts the channels of the grouping."""
    return {
        "hm": NUM_CATEGORIES,  # centres, one map a category
        "wh": 2,  # width and height in cells
        "hps": 2 * num_landmarks,  # from the centre's cell to each landmark
        "reg": 2,  # centre within its cell
        "hm_hp": num_landmarks,  # landmarks, one map a group
        "hp_offset": 2,  # landmark within its cell
    }


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class BasicBlock(nn.Module):
    """ResNet's block of two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3)[:2]
        plain = inputs == outputs and stride == 1
        self.skip = nn.Identity() if plain else conv_bn(inputs, outputs, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        return F.relu(self.second(self.first(x)) + self.skip(x))


class SmallPyramid(nn.Module):
    """A few basic blocks a stage behind a stride-4 stem; widths are multiples of 16 (fast in bf16)."""

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
        """Maps at strides 4, 8, 16, 32."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class TimmPyramid(nn.Module):
    """Any timm network that gives maps at strides 4, 8, 16 and 32."""

    def __init__(self, name: str, pretrained: str | None) -> None:
        super().__init__()
        full = f"{name}.{pretrained}" if pretrained else name
        try:
            self.net = timm.create_model(full, pretrained=bool(pretrained), features_only=True)
        except Exception as error:
            if not pretrained:
                raise
            raise OSError(
                f"pretrained weights {full!r} can't be loaded ({error}); put them in the local model "
                "cache on a machine with network access, or set train_detector.pretrained to null"
            ) from error
        strides: list[int] = self.net.feature_info.reduction()  # type: ignore[union-attr]
        self.levels = [strides.index(s) for s in (4, 8, 16, 32)]
        widths: list[int] = self.net.feature_info.channels()  # type: ignore[union-attr]
        self.channels = [widths[i] for i in self.levels]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps at strides 4, 8, 16, 32."""
        maps = self.net(x)
        return [maps[i] for i in self.levels]


def _small(name: str, pretrained: str | None) -> nn.Module:
    if pretrained:
        raise ValueError(f"backbone {name!r} has no pretrained weights; set pretrained to null")
    return SmallPyramid(*SMALL[name])


SMALL: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "small": ((32, 64, 128, 256), (1, 1, 2, 2)),
    "tiny": ((16, 16, 32, 32), (1, 1, 1, 1)),  # tests
}
BACKBONES: dict[str, Callable[[str, str | None], nn.Module]] = {
    **dict.fromkeys(SMALL, _small),
    **dict.fromkeys((*SMALL_HRNETS, *sorted(cfg_cls)), HRNet),
    **dict.fromkeys(("dla34", "dla60", "resnet50"), TimmPyramid),
}


class TopDown(nn.Module):
    """Feature pyramid: coarse maps added into finer ones, down to stride 4."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(n, width, 1) for n in channels)
        self.out = conv_bn(width, width, 3)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps from fine to coarse to one map (B, width, H/4, W/4)."""
        x = self.lateral[-1](maps[-1])
        for lateral, fine in zip(reversed(self.lateral[:-1]), reversed(maps[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2.0) + lateral(fine)
        return self.out(x)


class Head(nn.Module):
    """Conv3x3 + ReLU + Conv1x1; can also be read at single cells only, with the same numbers."""

    def __init__(self, inputs: int, width: int, outputs: int, bias: float, unit: float) -> None:
        super().__init__()
        self.unit = unit
        self.conv = nn.Conv2d(inputs, width, 3, padding=1)
        self.out = nn.Conv2d(width, outputs, 1)
        nn.init.constant_(self.out.bias, bias)  # type: ignore[arg-type]

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b out h w"]:
        """The whole map."""
        return self.out(F.relu(self.conv(features))) * self.unit

    def at(self, patches_NC: Float[Tensor, "n c9"]) -> Float[Tensor, "n out"]:
        """The map's values at the middle of each patch (see ``patches``)."""
        weight = self.conv.weight.permute(0, 2, 3, 1).flatten(1)
        hidden = F.relu(F.linear(patches_NC, weight, self.conv.bias))
        return F.linear(hidden, self.out.weight.flatten(1), self.out.bias) * self.unit


def patches(features: Float[Tensor, "b c h w"], cells_N: Int[Tensor, " n"]) -> Float[Tensor, "n c9"]:
    """The 3x3 surroundings of cells, (N, 9 * C), zero beyond the border.

    Args:
        features: the neck's map.
        cells_N: flat positions ``(b * H + y) * W + x``.
    """
    _, c, h, w = features.shape
    rows = F.pad(features, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, c)
    batch, y, x = cells_N // (h * w), cells_N // w % h, cells_N % w
    step = torch.arange(3, device=cells_N.device)
    around = (step[:, None] * (w + 2) + step).flatten()
    first = (batch * (h + 2) + y) * (w + 2) + x
    return F.embedding(first[:, None] + around, rows).flatten(1)


class CenterNet(nn.Module):
    """Pictures (B, 3, H, W), H and W multiples of 32, to six maps at stride 4.

    Args:
        backbone: a key of ``BACKBONES``.
        num_landmarks: channels of the used grouping.
        neck_width: channels of the map that the heads read.
        head_width: channels inside each head.
        pretrained: timm's name of the backbone's weights (``ms_in1k``, ``in1k``), or None.

    Raises:
        ValueError: unknown backbone, or it has no pretrained weights.
        OSError: the pretrained weights can't be had.
    """

    def __init__(
        self,
        backbone: str,
        num_landmarks: int,
        neck_width: int,
        head_width: int,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"train_detector.backbone: unknown {backbone!r}; known: {list(BACKBONES)}")
        self.backbone = BACKBONES[backbone](backbone, pretrained)
        self.neck = TopDown(self.backbone.channels, neck_width)  # type: ignore[arg-type]
        heads = {}
        for name, channels in head_channels(num_landmarks).items():
            bias = 0.0 if name in UNITS else HEATMAP_BIAS
            heads[name] = Head(neck_width, head_width, channels, bias, UNITS.get(name, 1.0))
        self.heads = nn.ModuleDict(heads)

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> Tensor:
        """The map (B, neck_width, H/4, W/4) that all heads read."""
        return self.neck(self.backbone(pixels))

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Six maps, without the sigmoid of ``hm`` and ``hm_hp``."""
        features = self.features(pixels)
        return {name: head(features) for name, head in self.heads.items()}

    def at_cells(
        self, pixels: Float[Tensor, "b 3 h w"], centers_N: Tensor, points_P: Tensor
    ) -> list[dict[str, Tensor]]:
        """What the losses read, one entry a stack: whole heatmaps, regressions where there is a target.

        ``wh``, ``reg``, ``hps`` come as (N, channels) at ``centers_N`` and ``hp_offset`` as (P, 2) at
        ``points_P``, flat cells as in ``patches``. Equal to picking from ``forward``'s maps, at a
        fraction of the cost: with 81 groups those maps are two thirds of all outputs.
        """
        features = self.features(pixels)
        out = {name: self.heads[name](features) for name in ("hm", "hm_hp")}
        around_centers, around_points = patches(features, centers_N), patches(features, points_P)
        for name in UNITS:
            head = self.heads[name]
            assert isinstance(head, Head)
            out[name] = head.at(around_points if name == "hp_offset" else around_centers)
        return [out]
