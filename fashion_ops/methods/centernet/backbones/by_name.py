"""CenterNet's backbones by name, with their necks and widths.

| name | backbone | neck | pretrained |
|---|---|---|---|
| small, tiny | a few basic blocks | feature pyramid, any width | - |
| hrnet_* | parts.backbones.HRNet | feature pyramid, any width | timm |
| mdla34 | timm's DLA-34 | DLAUp, plain 3x3 convolutions, 64 | timm |
| dla34_dcn | timm's DLA-34 | DLAUp, deformable convolutions, 64 | timm |
| resnet50 | timm's ResNet-50 | three transposed convolutions, 256 | timm |
| tf_efficientnet_lite0 to 4 | timm's | smoothed feature pyramid, any width | timm; 0: package |
| hourglass104 | two stacks with their necks, 256 | - | - |

The numbers are the neck's channels; those of DLA, ResNet and hourglass are
CenterNet's published ones. ``package`` is the value of ``pretrained`` that takes the weights which
``parts.packaged_weights`` finds on this machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from timm.models.hrnet import cfg_cls
from torch import nn

from fashion_ops.methods.centernet.backbones.dla import Convolution, Deformable, DLAUp, plain
from fashion_ops.methods.centernet.backbones.hourglass import Hourglass
from fashion_ops.methods.centernet.backbones.pyramid import SmallPyramid
from fashion_ops.methods.parts.backbones import SMALL_HRNETS, Deconvolutions, HRNet
from fashion_ops.methods.parts.feature_pyramid import FeaturePyramid, TimmPyramid, TopDown
from fashion_ops.methods.parts.lite_pyramid import LITES

# (name, pretrained, neck width) to a backbone, and a neck that makes one stride-4 map for each stack
Build = Callable[[str, str | None, int], tuple[nn.Module, nn.Module]]


@dataclass(frozen=True)
class Backbone:
    """Entry of a backbone.

    Attributes:
        build: makes the backbone and its neck.
        neck_width: default number of channels of the map that the heads read.
        head_width: default number of channels inside each head.
        fixed_neck: whether ``neck_width`` cannot be changed.
        multiple: the sides of an image must be multiples of this, pixels.
        stacks: number of maps that the neck makes, each with its own heads.
        regression_std: standard deviation of the initial last weights of the regression heads; None is
            torch's default.
    """

    build: Build
    neck_width: int
    head_width: int
    fixed_neck: bool = True
    multiple: int = 32
    stacks: int = 1
    regression_std: float | None = None

    def width_of_neck(self, name: str, width: int | None) -> int:
        """Return ``width``, or the default of this backbone if it is None.

        ``name`` is that of the backbone, for the error message.

        Raises:
            ValueError: the neck has another, fixed width.
        """
        if width is None:
            return self.neck_width
        if self.fixed_neck and width != self.neck_width:
            raise ValueError(
                f"train_detector.neck_width: got {width}, but the neck of {name!r} is "
                f"{self.neck_width} wide; set it to {self.neck_width} or null"
            )
        return width


SMALL: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "small": ((32, 64, 128, 256), (1, 1, 2, 2)),  # for two CPU cores
    "tiny": ((16, 16, 32, 32), (1, 1, 1, 1)),  # tests
}


def _refuse_pretrained(name: str, pretrained: str | None) -> None:
    """Raise ``ValueError`` if pretrained weights are requested of a backbone that has none."""
    if pretrained:
        raise ValueError(
            f"backbone {name!r} has no pretrained weights, got {pretrained!r}; "
            "set train_detector.pretrained to null"
        )


def _small(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    """Make a small ResNet and its feature pyramid; a ``Build``."""
    _refuse_pretrained(name, pretrained)
    backbone = SmallPyramid(*SMALL[name])
    return backbone, TopDown(backbone.channels, width)


def _hrnet(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    """Make an HRNet and its feature pyramid; a ``Build``."""
    backbone = HRNet(name, pretrained)
    return backbone, TopDown(backbone.channels, width)


def _dla(
    name: str, pretrained: str | None, width: int, *, conv: Convolution
) -> tuple[nn.Module, nn.Module]:
    """Make DLA-34 and its neck of ``conv``; with ``conv`` given a ``Build``, whose width is fixed."""
    backbone = TimmPyramid("dla34", pretrained)
    return backbone, DLAUp(conv, backbone.channels)


def _resnet(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    """Make a ResNet of timm and three transposed convolutions; a ``Build``."""
    backbone = TimmPyramid(name, pretrained, strides=(32,))
    return backbone, Deconvolutions(backbone.channels[-1], width)


def _lite(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    """Make an EfficientNet-Lite of timm and its feature pyramid; a ``Build``."""
    backbone = TimmPyramid(name, pretrained)
    return backbone, FeaturePyramid(backbone.channels, width)


def _hourglass(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    """Make an hourglass, which contains its neck; a ``Build``, whose width is fixed."""
    _refuse_pretrained(name, pretrained)
    return Hourglass(), nn.Identity()


BACKBONES: dict[str, Backbone] = {
    **dict.fromkeys(SMALL, Backbone(_small, 64, 64, fixed_neck=False)),
    **dict.fromkeys((*SMALL_HRNETS, *sorted(cfg_cls)), Backbone(_hrnet, 64, 64, fixed_neck=False)),
    **dict.fromkeys(LITES, Backbone(_lite, 64, 64, fixed_neck=False)),
    "mdla34": Backbone(partial(_dla, conv=plain), 64, 256),
    "dla34_dcn": Backbone(partial(_dla, conv=Deformable), 64, 256),
    "resnet50": Backbone(_resnet, 256, 64, regression_std=0.001),
    "hourglass104": Backbone(_hourglass, 256, 256, multiple=128, stacks=2),
}


def find_backbone(name: str) -> Backbone:
    """Look up a backbone.

    Raises:
        ValueError: unknown name.
    """
    if name not in BACKBONES:
        raise ValueError(f"train_detector.backbone: unknown {name!r}; known: {list(BACKBONES)}")
    return BACKBONES[name]
