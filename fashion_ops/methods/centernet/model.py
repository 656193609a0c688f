"""CenterNet with landmarks: six heads on a stride-4 map (Zhou et al., 2019; DeepMark++).

The map comes from a backbone by name (``backbones``); here are the heads and the whole network.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.centernet.backbones.by_name import find_backbone
from fashion_ops.taxonomy import NUM_CATEGORIES

STRIDE = 4
HEATMAP_BIAS = -2.19  # log(0.1 / 0.9): every cell starts at 10 %
# What one unit of a regression head's last convolution means, in cells: garments are tens of cells
# wide, and a head that starts near 0 takes long to get there. The maps themselves are in cells, as
# published; this is a fixed factor behind the last convolution, whose weights are smaller by it, so
# that a step of Adam, which doesn't depend on the gradient's size, moves the output 8 times as far.
# Offsets lie within a cell.
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


class Head(nn.Module):
    """Conv3x3 + ReLU + Conv1x1; can also be read at single cells only, with the same numbers.

    Args:
        inputs: channels of the map it reads.
        width: channels between its convolutions.
        outputs: channels it gives.
        unit: of its outputs, see ``UNITS``; None for the logits of a heatmap, which start at 10 %.
        std: of the initial last weights of a regression; None is torch's default.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, unit: float | None, std: float | None = None
    ) -> None:
        super().__init__()
        self.unit = 1.0 if unit is None else unit
        self.conv = nn.Conv2d(inputs, width, 3, padding=1)
        self.out = nn.Conv2d(width, outputs, 1)
        assert self.conv.bias is not None and self.out.bias is not None
        if unit is None:
            nn.init.constant_(self.out.bias, HEATMAP_BIAS)
        else:
            nn.init.zeros_(self.conv.bias)
            nn.init.zeros_(self.out.bias)
        if unit is not None and std is not None:
            nn.init.normal_(self.out.weight, std=std)

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


def make_heads(num_landmarks: int, inputs: int, width: int, std: float | None = None) -> nn.ModuleDict:
    """One stack's six heads; arguments as of ``Head``."""
    return nn.ModuleDict(
        {
            name: Head(inputs, width, channels, UNITS.get(name), std)
            for name, channels in head_channels(num_landmarks).items()
        }
    )


class CenterNet(nn.Module):
    """Images (B, 3, H, W), H and W multiples of ``multiple``, to six maps at stride 4.

    Args:
        backbone: a key of ``backbones.BACKBONES``.
        num_landmarks: channels of the used grouping.
        neck_width: channels of the map that the heads read; None is the backbone's own.
        head_width: channels inside each head; None is the backbone's own.
        pretrained: timm's name of the trunk's weights (``in1k``, ``tv_in1k``, ``ms_in1k``), or None.

    Attributes:
        neck_width, head_width: those it has.
        multiple: of what the sides of an image must be multiples, pixels.
        heads: the last stack's, which answer.
        early_heads: of the stacks before, in training only.

    Raises:
        ValueError: unknown backbone, its neck has another width, or it has no pretrained weights.
        OSError: the pretrained weights can't be had.
    """

    def __init__(
        self,
        backbone: str,
        num_landmarks: int,
        neck_width: int | None = None,
        head_width: int | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        entry = find_backbone(backbone)
        self.neck_width = entry.width_of_neck(backbone, neck_width)
        self.head_width = entry.head_width if head_width is None else head_width
        self.multiple = entry.multiple
        self.backbone, self.neck = entry.build(backbone, pretrained, self.neck_width)
        stacks = [
            make_heads(num_landmarks, self.neck_width, self.head_width, entry.regression_std)
            for _ in range(entry.stacks)
        ]
        self.heads = stacks.pop()
        self.early_heads = nn.ModuleList(stacks)

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The map (B, neck_width, H/4, W/4) that the heads read, of each stack."""
        return self.neck(self.backbone(pixels))

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Six maps of the last stack, without the sigmoid of ``hm`` and ``hm_hp``."""
        features = self.features(pixels)[-1]
        return {name: head(features) for name, head in self.heads.items()}

    def at_cells(
        self, pixels: Float[Tensor, "b 3 h w"], centers_N: Tensor, points_P: Tensor
    ) -> list[dict[str, Tensor]]:
        """What the losses read, one entry a stack: whole heatmaps, regressions where there is a target.

        ``wh``, ``reg``, ``hps`` come as (N, channels) at ``centers_N`` and ``hp_offset`` as (P, 2) at
        ``points_P``, flat cells as in ``patches``. Equal to picking from ``forward``'s maps, at a
        fraction of the cost: with 81 groups those maps are two thirds of all outputs.
        """
        stacks = zip(self.features(pixels), [*self.early_heads, self.heads], strict=True)
        return [_at_cells(features, heads, centers_N, points_P) for features, heads in stacks]


def _at_cells(
    features: Tensor, heads: nn.Module, centers_N: Tensor, points_P: Tensor
) -> dict[str, Tensor]:
    assert isinstance(heads, nn.ModuleDict)
    out = {name: heads[name](features) for name in ("hm", "hm_hp")}
    around_centers, around_points = patches(features, centers_N), patches(features, points_P)
    for name in UNITS:
        head = heads[name]
        assert isinstance(head, Head)
        out[name] = head.at(around_points if name == "hp_offset" else around_centers)
    return out
