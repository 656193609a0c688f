"""Cascade R-CNN and Hybrid Task Cascade as torchvision's ``GeneralizedRCNN`` with a cascade of heads.

Published sizes: short side 800, long side at most 1333, anchors from 32 pixels, 512 sampled boxes.
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
PROPOSALS = {"training": 2000, "testing": 1000}  # of a level before NMS, of an image after it


@dataclass(frozen=True)
class Architecture:
    """The network, as a ``model.json`` describes it.

    Attributes:
        kind: ``cascade_rcnn`` or ``htc``.
        backbone: see ``backbones``.
        short_side: images are resized so that their shorter side has this many pixels.
        long_side: most pixels of the longer side; an image that would exceed it is resized to it.
        smallest_anchor: side of the anchors on the finest map, pixels; it doubles from map to map.
        samples: number of boxes sampled from each image for each stage in training.
    """

    kind: Literal["cascade_rcnn", "htc"] = "cascade_rcnn"
    backbone: str = "resnet50"
    short_side: int = 800
    long_side: int = 1333
    smallest_anchor: int = 32
    samples: int = 512

    @classmethod
    def of(cls, spec: dict[str, Any]) -> "Architecture":
        """Take the architecture from a ``model.json`` or from parameters, ignoring other keys."""
        return cls(**{name: spec[name] for name in asdict(cls())})


class _Head(RPNHead):
    """The RPN's head with outputs in fp32, as torchvision decodes boxes in the dtype of the deltas."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Compute logits and box deltas of the anchors on each map."""
        logits, deltas = super().forward(x)
        return [t.float() for t in logits], [t.float() for t in deltas]


class CascadeRCNN(GeneralizedRCNN):
    """Cascade R-CNN or HTC.

    In training it takes images in 0..1 and targets and returns the losses by name; otherwise it takes
    images and returns the garments of each.

    Args:
        architecture: the network.
        pretrained: torchvision's name of the backbone's weights, or None.
        short_sides: in training one of them is drawn for each image; None uses ``short_side``.
        num_categories: without the background.

    Raises:
        ValueError: unknown backbone or weights.
        OSError: the weights can't be loaded.
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
    """Make the region proposal network, with one anchor size for each map and three aspect ratios.

    Args:
        width: channels of the maps.
        smallest_anchor: side of the anchors on the finest map, pixels; it doubles from map to map.
    """
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
    """Make the transform that normalises, resizes and pads images to multiples of 32.

    In training it draws one of the short sides for each image, otherwise it uses the last one.

    Args:
        short_sides: length of the shorter side, pixels.
        long_side: most pixels of the longer side.
    """
    return GeneralizedRCNNTransform(short_sides, long_side, list(MEAN), list(STD))  # type: ignore[arg-type]
