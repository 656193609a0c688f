"""Cascade R-CNN and Hybrid Task Cascade as torchvision's ``GeneralizedRCNN`` with a cascade of heads.

Published sizes: short side 800, long side at most 1333, anchors from 32 pixels, 512 boxes an image.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from fashion_ops.methods.detection.backbones import STRIDES, Pyramid, find_widths
from fashion_ops.methods.detection.cascade import CascadeHeads
from fashion_ops.methods.parts.augment import MEAN, STD
from fashion_ops.taxonomy import NUM_CATEGORIES

ASPECTS = (0.5, 1.0, 2.0)  # height over width of the anchors
PROPOSALS = {"training": 2000, "testing": 1000}  # a level before, an image after suppression


@dataclass(frozen=True)
class Architecture:
    """What a ``model.json`` says of the network.

    Attributes:
        kind: Cascade R-CNN, or HTC.
        backbone: see ``backbones``.
        short_side: images are resized to this, pixels,
        long_side: unless their longer side became longer than this.
        smallest_anchor: side of the anchors on the finest map, pixels; doubles from map to map.
        samples: boxes an image and stage in training.
    """

    kind: Literal["cascade_rcnn", "htc"] = "cascade_rcnn"
    backbone: str = "resnet50"
    short_side: int = 800
    long_side: int = 1333
    smallest_anchor: int = 32
    samples: int = 512

    @classmethod
    def of(cls, spec: dict[str, Any]) -> "Architecture":
        """The architecture that a ``model.json`` holds."""
        return cls(**{name: spec[name] for name in asdict(cls())})


class _Head(RPNHead):
    """RPN's head in fp32: torchvision decodes boxes in the dtype of what is regressed."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, deltas = super().forward(x)
        return [t.float() for t in logits], [t.float() for t in deltas]


class CascadeRCNN(GeneralizedRCNN):
    """In training: images in 0..1 and targets to losses by name; else to garments of each image.

    Args:
        architecture: which of them.
        pretrained: torchvision's name of the backbone's weights, or None.
        short_sides: of the images in training, one drawn for each; None is the architecture's.
        num_categories: without the background.

    Raises:
        ValueError: unknown backbone or weights.
        OSError: the weights can't be had.
    """

    backbone: Pyramid
    rpn: RegionProposalNetwork
    roi_heads: CascadeHeads
    transform: GeneralizedRCNNTransform

    def __init__(
        self,
        architecture: Architecture,
        pretrained: str | None = None,
        short_sides: tuple[int, ...] | None = None,
        num_categories: int = NUM_CATEGORIES,
    ) -> None:
        widths = find_widths(architecture.backbone)
        super().__init__(
            Pyramid(architecture.backbone, pretrained),
            proposer(widths.pyramid, architecture.smallest_anchor),
            CascadeHeads(
                widths.pyramid,
                widths.head,
                num_categories,
                architecture.samples,
                architecture.kind == "htc",
            ),
            resizer(short_sides or (architecture.short_side,), architecture.long_side),
        )
        self.architecture = architecture


def proposer(width: int, smallest_anchor: int) -> RegionProposalNetwork:
    """The region proposal network: one anchor size a map, three aspects."""
    anchors = AnchorGenerator(
        tuple((smallest_anchor * 2**i,) for i in range(len(STRIDES))), (ASPECTS,) * len(STRIDES)
    )
    head = _Head(width, len(ASPECTS))
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
    return RegionProposalNetwork(
        anchors,
        head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n=PROPOSALS,
        post_nms_top_n=PROPOSALS,
        nms_thresh=0.7,
    )


def resizer(short_sides: tuple[int, ...], long_side: int) -> GeneralizedRCNNTransform:
    """Normalise and resize images (the last short side at test), pad them to multiples of 32."""
    return GeneralizedRCNNTransform(short_sides, long_side, list(MEAN), list(STD))  # type: ignore[arg-type]
