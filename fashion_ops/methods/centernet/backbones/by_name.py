"""CenterNet's backbones by name: trunk, neck, and the widths that go with them.

| name | trunk | neck | pretrained |
|---|---|---|---|
| small, tiny | a few basic blocks | feature pyramid, any width | - |
| hrnet_* | parts.backbones.HRNet | feature pyramid, any width | timm |
| mdla34 | timm's DLA-34 | DLAUp, plain 3x3 convolutions, 64 | timm |
| dla34_dcn | timm's DLA-34 | DLAUp, deformable convolutions, 64 | timm |
| resnet50 | timm's ResNet-50 | three transposed convolutions, 256 | timm |
| hourglass104 | two stacks, neck included, 256 | - | - |

Widths of the last four are those of CenterNet's published code, which DeepMark++ builds on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from timm.models.hrnet import cfg_cls
from torch import nn

from fashion_ops.methods.centernet.backbones.dla import Convolution, Deformable, DLAUp, plain
from fashion_ops.methods.centernet.backbones.hourglass import Hourglass
from fashion_ops.methods.centernet.backbones.pyramid import SmallPyramid, TimmPyramid, TopDown
from fashion_ops.methods.parts.backbones import SMALL_HRNETS, Deconvolutions, HRNet

# (name, pretrained, neck width) to the trunk, and the neck that makes one stride-4 map a stack
Build = Callable[[str, str | None, int], tuple[nn.Module, nn.Module]]


@dataclass(frozen=True)
class Backbone:
    """What a name stands for.

    Attributes:
        build: makes trunk and neck.
        neck_width: channels of the map that the heads read.
        head_width: channels inside each head, if nobody says otherwise.
        fixed_neck: no other ``neck_width`` exists.
        multiple: what the sides of an image must be multiples of, pixels.
        stacks: maps that come out, each with its own heads.
        regression_std: of the initial last weights of the regression heads; None is torch's default.
    """

    build: Build
    neck_width: int
    head_width: int
    fixed_neck: bool = True
    multiple: int = 32
    stacks: int = 1
    regression_std: float | None = None

    def width_of_neck(self, name: str, asked: int | None) -> int:
        """Channels of the map that the heads read; ``asked`` None is the backbone's own.

        Raises:
            ValueError: the neck has another, fixed width.
        """
        if asked is None:
            return self.neck_width
        if self.fixed_neck and asked != self.neck_width:
            raise ValueError(
                f"train_detector.neck_width: got {asked}, but the neck of {name!r} is "
                f"{self.neck_width} wide; set it to {self.neck_width} or null"
            )
        return asked


SMALL: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "small": ((32, 64, 128, 256), (1, 1, 2, 2)),  # for two CPU cores
    "tiny": ((16, 16, 32, 32), (1, 1, 1, 1)),  # tests
}


def _refuse_pretrained(name: str, pretrained: str | None) -> None:
    if pretrained:
        raise ValueError(
            f"backbone {name!r} has no pretrained weights, got {pretrained!r}; "
            "set train_detector.pretrained to null"
        )


def _small(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    _refuse_pretrained(name, pretrained)
    trunk = SmallPyramid(*SMALL[name])
    return trunk, TopDown(trunk.channels, width)


def _hrnet(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    trunk = HRNet(name, pretrained)
    return trunk, TopDown(trunk.channels, width)


def _dla(
    name: str, pretrained: str | None, width: int, *, conv: Convolution
) -> tuple[nn.Module, nn.Module]:
    trunk = TimmPyramid("dla34", pretrained)
    return trunk, DLAUp(conv, trunk.channels)


def _resnet(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    trunk = TimmPyramid(name, pretrained, strides=(32,))
    return trunk, Deconvolutions(trunk.channels[-1], width)


def _hourglass(name: str, pretrained: str | None, width: int) -> tuple[nn.Module, nn.Module]:
    _refuse_pretrained(name, pretrained)
    return Hourglass(), nn.Identity()


BACKBONES: dict[str, Backbone] = {
    **dict.fromkeys(SMALL, Backbone(_small, 64, 64, fixed_neck=False)),
    **dict.fromkeys((*SMALL_HRNETS, *sorted(cfg_cls)), Backbone(_hrnet, 64, 64, fixed_neck=False)),
    "mdla34": Backbone(partial(_dla, conv=plain), 64, 256),
    "dla34_dcn": Backbone(partial(_dla, conv=Deformable), 64, 256),
    "resnet50": Backbone(_resnet, 256, 64, regression_std=0.001),
    "hourglass104": Backbone(_hourglass, 256, 256, multiple=128, stacks=2),
}


def find_backbone(name: str) -> Backbone:
    """The entry of this name.

    Raises:
        ValueError: unknown name.
    """
    if name not in BACKBONES:
        raise ValueError(f"train_detector.backbone: unknown {name!r}; known: {list(BACKBONES)}")
    return BACKBONES[name]
