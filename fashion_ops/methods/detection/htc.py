"""The branches of Hybrid Task Cascade: linked mask heads, one for each stage, and a semantic branch."""

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
    """Make a convolution that keeps width and size, with ReLU."""
    return Conv2dNormActivation(width, width, kernel, norm_layer=None)


@dataclass(frozen=True)
class Semantic:
    """Output of the semantic branch for a batch, at stride 8, in fp32.

    Attributes:
        logits: (B, 1 + categories, h, w), background first.
        features: (B, width, h, w).
    """

    logits: Tensor
    features: Tensor

    def pool(self, boxes: list[Tensor], size: int) -> Float[Tensor, "n w s s"]:
        """Pool the features inside the boxes (n, 4) of each image to ``size`` x ``size``.

        The results of all images follow each other.

        HTC pools to 14 x 14 and averages to 7 x 7 for the box heads, which is the same as pooling to
        7 x 7 with twice as many samples on each side.
        """
        samples = SAMPLING_RATIO * POOLED // size
        return roi_align(self.features, boxes, size, 1 / STRIDE, samples)


class SemanticBranch(nn.Module):
    """Resizes all levels of the pyramid to stride 8, adds them and convolves the sum (HTC, fig. 4).

    Args:
        width: channels of the levels and of the features.
        num_categories: without the background.
    """

    def __init__(self, width: int, num_categories: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleDict({name: _conv(width, 1) for name in ("0", "1", "2", "3", "pool")})
        self.convs = nn.Sequential(*(_conv(width, 3) for _ in range(DEPTH)))
        self.embedding = _conv(width, 1)
        self.logits = nn.Conv2d(width, num_categories + 1, 1)

    def forward(self, features: dict[str, Tensor]) -> Semantic:
        """Compute the semantic maps from the maps of the pyramid, by name."""
        size = features[LEVEL].shape[-2:]
        levels = []
        for name, x in features.items():
            if name != LEVEL:
                x = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
            levels.append(self.lateral[name](x))
        x = self.convs(torch.stack(levels).sum(0))
        return Semantic(self.logits(x).float(), self.embedding(x).float())


class MaskHead(nn.Module):
    """Four convolutions and a transposed one, with one mask for each category.

    Args:
        width: channels.
        num_categories: number of masks.
        first: whether it is the head of the first stage, which gets no features of a previous head.
    """

    def __init__(self, width: int, num_categories: int, first: bool) -> None:
        super().__init__()
        self.flow = None if first else _conv(width, 1)
        self.convs = MaskRCNNHeads(width, (width,) * DEPTH, dilation=1)
        self.predictor = MaskRCNNPredictor(width, width, num_categories)

    def features(
        self, pooled: Float[Tensor, "n w 14 14"], before: Float[Tensor, "n w 14 14"] | None
    ) -> Float[Tensor, "n w 14 14"]:
        """Compute the features for the predictor and for the head of the next stage.

        Args:
            pooled: features of the boxes.
            before: what the head of the previous stage returned here; None in the first stage.
        """
        if before is not None and self.flow is not None:
            pooled = pooled + self.flow(before)
        return self.convs(pooled)


class MaskBranch(nn.Module):
    """The mask heads of all stages; each gets the features of the previous head for the same boxes.

    Args:
        width: channels of the pyramid's maps and of the heads.
        num_categories: without the background.
        stages: number of heads.
    """

    def __init__(self, width: int, num_categories: int, stages: int) -> None:
        super().__init__()
        self.pool = MultiScaleRoIAlign(list("0123"), POOLED, SAMPLING_RATIO)
        self.heads = nn.ModuleList(MaskHead(width, num_categories, i == 0) for i in range(stages))

    def predict(
        self,
        features: dict[str, Tensor],
        semantic: Semantic | None,
        detections: list[dict[str, Tensor]],
    ) -> list[Float[Tensor, "_ 1 28 28"]]:
        """Predict the masks inside the boxes of each image, 0..1, as the mean over all heads.

        Args:
            features: maps of the pyramid, by name.
            semantic: output of the semantic branch; None without it.
            detections: ``boxes`` (n, 4) and ``labels`` (n,), 1 the first category, of each image.
        """
        boxes = [d["boxes"] for d in detections]
        labels = torch.cat([d["labels"] for d in detections]) - 1
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
        """Compute the features of the first ``heads`` heads (None: all) for the boxes of each image.

        Returns:
            For each head (n, w, 14, 14), the boxes of all images one after another.
        """
        batch, _, height, width = features["0"].shape
        pooled = self.pool(features, boxes, [(4 * height, 4 * width)] * batch)
        if semantic is not None:
            pooled = pooled + semantic.pool(boxes, POOLED)
        flow: list[Tensor] = []
        for head in self.heads[:heads]:
            assert isinstance(head, MaskHead)
            flow.append(head.features(pooled, flow[-1] if flow else None))
        return flow

    def loss(
        self,
        number: int,
        features: dict[str, Tensor],
        semantic: Semantic | None,
        boxes: list[Tensor],
        matched: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy of one head: each box's mask of its true category, 28 x 28 pixels.

        Args:
            number: of the head, 0, 1 or 2.
            features: maps of the pyramid, by name.
            semantic: output of the semantic branch; None without it.
            boxes: positive boxes of each image.
            matched: index of the garment that each box matches.
            targets: labels and masks of each image.
        """
        x = self._flow(features, semantic, boxes, number + 1)[-1]
        head = self.heads[number]
        assert isinstance(head, MaskHead)
        logits = head.predictor(x).float()
        labels = [t["labels"] - 1 for t in targets]
        return maskrcnn_loss(logits, boxes, [t["masks"] for t in targets], labels, matched)
