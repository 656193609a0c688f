"""What Hybrid Task Cascade adds: a mask head a stage with information flow, and a semantic branch."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import maskrcnn_loss
from torchvision.ops import Conv2dNormActivation, MultiScaleRoIAlign, roi_align

POOLED = 14
SAMPLING_RATIO = 2
LEVEL = "1"  # the semantic branch works at stride 8
STRIDE = 8
DEPTH = 4  # convolutions of the semantic branch and of a mask head


def _conv(width: int, kernel: int) -> nn.Module:
    return Conv2dNormActivation(width, width, kernel, norm_layer=None)


@dataclass(frozen=True)
class Semantic:
    """The semantic branch's maps of a batch, at stride 8.

    ``logits`` (B, 1 + categories, h, w), fp32, background first; ``features`` (B, width, h, w), fp32.
    """

    logits: Tensor
    features: Tensor

    def pool(self, boxes: list[Tensor], size: int) -> Float[Tensor, "n w s s"]:
        """Features inside the boxes.

        HTC pools at 14 x 14 and, for the box heads, averages down to 7 x 7: the same points as twice as
        many samples a side.
        """
        samples = SAMPLING_RATIO * POOLED // size
        return roi_align(self.features, boxes, size, 1 / STRIDE, samples)


class SemanticBranch(nn.Module):
    """All levels brought to stride 8 and added, four convolutions, a map a category (HTC, fig. 4)."""

    def __init__(self, width: int, num_categories: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleDict({name: _conv(width, 1) for name in ("0", "1", "2", "3", "pool")})
        self.convs = nn.Sequential(*(_conv(width, 3) for _ in range(DEPTH)))
        self.embedding = _conv(width, 1)
        self.logits = nn.Conv2d(width, num_categories + 1, 1)

    def forward(self, features: dict[str, Tensor]) -> Semantic:
        """Maps by name to the semantic maps."""
        size = features[LEVEL].shape[-2:]
        levels = []
        for name, x in features.items():
            if name != LEVEL:
                x = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
            levels.append(self.lateral[name](x))
        x = self.convs(torch.stack(levels).sum(0))
        return Semantic(self.logits(x).float(), self.embedding(x).float())


class MaskHead(nn.Module):
    """Four convolutions, a transposed one, a mask a category; takes the previous head's features in.

    Args:
        width: channels.
        num_categories: masks.
        first: nothing flows into the first stage's head.
    """

    def __init__(self, width: int, num_categories: int, first: bool) -> None:
        super().__init__()
        self.flow = None if first else _conv(width, 1)
        self.convs = MaskRCNNHeads(width, (width,) * DEPTH, dilation=1)
        self.predictor = MaskRCNNPredictor(width, width, num_categories)

    def features(
        self, pooled: Float[Tensor, "n w 14 14"], before: Float[Tensor, "n w 14 14"] | None
    ) -> Float[Tensor, "n w 14 14"]:
        """What the masks are read from and what flows on to the next stage's head."""
        if before is not None and self.flow is not None:
            pooled = pooled + self.flow(before)
        return self.convs(pooled)


class MaskBranch(nn.Module):
    """The stages' mask heads; head i runs behind heads 1 .. i - 1 on the same boxes."""

    def __init__(self, width: int, num_categories: int, stages: int) -> None:
        super().__init__()
        self.pool = MultiScaleRoIAlign(list("0123"), POOLED, SAMPLING_RATIO)
        self.heads = nn.ModuleList(MaskHead(width, num_categories, i == 0) for i in range(stages))

    def predict(
        self, features: dict[str, Tensor], semantic: Semantic | None, found: list[dict[str, Tensor]]
    ) -> list[Float[Tensor, "n 1 28 28"]]:
        """The found garments' masks inside their boxes, 0..1: the mean of all heads'."""
        boxes = [f["boxes"] for f in found]
        labels = torch.cat([f["labels"] for f in found]) - 1
        rows = torch.arange(len(labels), device=labels.device)
        masks = [
            head.predictor(x).float().sigmoid()[rows, labels][:, None]  # type: ignore[operator,union-attr]
            for head, x in zip(self.heads, self._flow(features, semantic, boxes), strict=True)
        ]
        return list(torch.stack(masks).mean(0).split([len(b) for b in boxes]))

    def _flow(
        self,
        features: dict[str, Tensor],
        semantic: Semantic | None,
        boxes: list[Tensor],
        heads: int | None = None,
    ) -> list[Tensor]:
        batch, _, height, width = features["0"].shape
        pooled = self.pool(features, boxes, [(4 * height, 4 * width)] * batch)
        if semantic is not None:
            pooled = pooled + semantic.pool(boxes, POOLED)
        out: list[Tensor] = []
        for head in self.heads[:heads]:
            assert isinstance(head, MaskHead)
            out.append(head.features(pooled, out[-1] if out else None))
        return out

    def loss(
        self,
        number: int,
        features: dict[str, Tensor],
        semantic: Semantic | None,
        boxes: list[Tensor],
        matched: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> Float[Tensor, ""]:
        """Cross-entropy of head ``number``'s mask of the true category, per pixel of 28 x 28.

        Args:
            number: 0, 1 or 2.
            features: maps by name.
            semantic: the semantic branch's maps.
            boxes: of each image, all on garments.
            matched: which garment of the image each box is on.
            targets: labels and masks of each image.
        """
        x = self._flow(features, semantic, boxes, number + 1)[-1]
        head = self.heads[number]
        assert isinstance(head, MaskHead)
        logits = head.predictor(x).float()
        labels = [t["labels"] - 1 for t in targets]
        return maskrcnn_loss(logits, boxes, [t["masks"] for t in targets], labels, matched)
