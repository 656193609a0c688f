"""CenterNet with landmarks: six heads on a stride-4 map (Zhou et al., 2019; DeepMark++).

The backbones and necks that make the map are in ``backbones``.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.centernet.backbones.by_name import find_backbone
from fashion_ops.methods.parts.freezing import Freezing
from fashion_ops.taxonomy import NUM_CATEGORIES

HEATMAP_BIAS = -2.19  # log(0.1 / 0.9): every cell starts at 10 %
# A fixed factor behind the last convolution of each regression head; the maps are in cells, as
# published. Garments are tens of cells wide, and a head that starts near 0 takes long to get there.
# With smaller weights a step of Adam, whose size does not depend on the gradient's, moves the output
# 8 times as far. Offsets lie within a cell and need no factor.
UNITS = {"wh": 8.0, "hps": 8.0, "reg": 1.0, "hp_offset": 1.0}


def head_channels(num_landmarks: int) -> dict[str, int]:
    """Look up the number of output channels of each head, by name.

    ``num_landmarks`` is the number of channels of the grouping.
    """
    return {
        "hm": NUM_CATEGORIES,  # heatmaps of centres, one for each category
        "wh": 2,  # width and height in cells
        "hps": 2 * num_landmarks,  # displacements from the centre's cell to each landmark
        "reg": 2,  # offset of the centre in its cell
        "hm_hp": num_landmarks,  # heatmaps of landmarks, one for each group
        "hp_offset": 2,  # offset of a landmark in its cell
    }


class Head(nn.Module):
    """Conv3x3 + ReLU + Conv1x1, computed on the whole map or, with the same result, at single cells.

    Args:
        inputs: channels of the input map.
        width: channels between the convolutions.
        outputs: channels of the output.
        unit: factor on a regression's outputs, see ``UNITS``; None for the logits of a heatmap, whose
            bias starts at 10 %.
        std: standard deviation of a regression's initial last weights; None is torch's default.
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
        """Compute the output on the whole map."""
        return self.out(F.relu(self.conv(features))) * self.unit

    def at(self, patches: Float[Tensor, "n c9"]) -> Float[Tensor, "n out"]:
        """Compute the output at the middle of each 3x3 patch that ``extract_patches`` returned."""
        weight = self.conv.weight.permute(0, 2, 3, 1).flatten(1)
        hidden = F.relu(F.linear(patches, weight, self.conv.bias))
        return F.linear(hidden, self.out.weight.flatten(1), self.out.bias) * self.unit


def extract_patches(
    features: Float[Tensor, "b c h w"], cells: Int[Tensor, " n"]
) -> Float[Tensor, "n c9"]:
    """Copy the 3x3 neighbourhood of each cell as a vector (9 * C,), with zeros beyond the border.

    Args:
        features: the neck's map.
        cells: flat positions ``(b * H + y) * W + x``.
    """
    _, c, h, w = features.shape
    rows = F.pad(features, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, c)
    batch, y, x = cells // (h * w), cells // w % h, cells % w
    step = torch.arange(3, device=cells.device)
    around = (step[:, None] * (w + 2) + step).flatten()
    first = (batch * (h + 2) + y) * (w + 2) + x
    return F.embedding(first[:, None] + around, rows).flatten(1)


def make_heads(num_landmarks: int, inputs: int, width: int, std: float | None = None) -> nn.ModuleDict:
    """Make the six heads of one stack, by name.

    Args:
        num_landmarks: channels of the grouping.
        inputs: channels of the map that they read.
        width: channels inside each head.
        std: of a regression's initial last weights, see ``Head``.
    """
    return nn.ModuleDict(
        {
            name: Head(inputs, width, channels, UNITS.get(name), std)
            for name, channels in head_channels(num_landmarks).items()
        }
    )


class CenterNet(Freezing):
    """Network from images (B, 3, H, W) to six maps at stride 4; H and W are multiples of ``multiple``.

    Args:
        backbone: a key of ``backbones.by_name.BACKBONES``.
        num_landmarks: channels of the grouping.
        neck_width: channels of the map that the heads read; None is the backbone's default.
        head_width: channels inside each head; None is the backbone's default.
        pretrained: timm's tag of the backbone's weights (``in1k``, ``tv_in1k``, ``ms_in1k``),
            ``package`` for those of an installed package, or None.

    Attributes:
        neck_width: channels of the map that the heads read.
        head_width: channels inside each head.
        multiple: the sides of an image must be multiples of this, pixels.
        heads: heads of the last stack, which make the predictions.
        early_heads: heads of the stacks before, used in training only.

    Raises:
        ValueError: unknown backbone, a neck width that it cannot have, or no pretrained weights.
        OSError: the pretrained weights can't be loaded.
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

    def freeze_backbone(self) -> None:
        """Train only neck and heads."""
        self.freeze(self.backbone)

    def features(self, pixels: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Compute the map (B, neck_width, H/4, W/4) that the heads read, for each stack."""
        return self.neck(self.backbone(pixels))

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Compute the six maps of the last stack, by name; ``hm`` and ``hm_hp`` are logits."""
        features = self.features(pixels)[-1]
        return {name: head(features) for name, head in self.heads.items()}

    def at_cells(
        self,
        pixels: Float[Tensor, "b 3 h w"],
        centers: Int[Tensor, " n"],
        points: Int[Tensor, " p"],
    ) -> list[dict[str, Tensor]]:
        """Compute what the losses need: whole heatmaps, but regressions only where there is a target.

        Picking from the maps of ``forward`` gives the same values at a higher cost: with 81 groups
        the regressions are two thirds of all outputs.

        Args:
            pixels: normalised images.
            centers: flat cells of N centres, as of ``extract_patches``.
            points: flat cells of P labelled landmarks.

        Returns:
            For each stack: logits ``hm`` and ``hm_hp`` as whole maps; ``wh``, ``reg`` and ``hps``
            (N, channels) at the centres; ``hp_offset`` (P, 2) at the points.
        """
        stacks = zip(self.features(pixels), [*self.early_heads, self.heads], strict=True)
        return [_at_cells(features, heads, centers, points) for features, heads in stacks]


def _at_cells(features: Tensor, heads: nn.Module, centers: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Compute ``CenterNet.at_cells`` for one stack from the map that its heads read."""
    assert isinstance(heads, nn.ModuleDict)
    outputs = {name: heads[name](features) for name in ("hm", "hm_hp")}
    around_centers, around_points = (
        extract_patches(features, centers),
        extract_patches(features, points),
    )
    for name in UNITS:
        head = heads[name]
        assert isinstance(head, Head)
        outputs[name] = head.at(around_points if name == "hp_offset" else around_centers)
    return outputs
