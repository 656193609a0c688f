"""Backbones by name: networks of timm, and small ones of the same families for the demo.

- ``HRNet``: ``hrnet_w18 | hrnet_w32 | hrnet_w48`` (timm, paper size) and ``hrnet_w16_small`` (one
  module a stage, two blocks a branch).
- ``SimpleBaseline``: a ResNet and three transposed convolutions.
- ``LitePyramid``: see ``parts.lite_pyramid``. ``ViT``: see ``parts.vit``.
- Pretrained weights are given by timm's name of the weights, which needs network access; those of an
  HRNet also by a file of published pose weights, those of a ViT by a file of them, and those of
  ``tf_efficientnet_lite0`` by the name ``package``: they are in an installed Python package.
"""

from functools import reduce
from typing import Any

import torch
from timm.models.hrnet import HighResolutionModule, HighResolutionNet, cfg_cls
from torch import Tensor, nn

from fashion_ops.methods.parts.heatmaps import Crop
from fashion_ops.methods.parts.lite_pyramid import LITES, LitePyramid
from fashion_ops.methods.parts.published_weights import file_of, load_timm, load_whole, read_file
from fashion_ops.methods.parts.vit import PUBLISHED, SMALL_VITS, ViT, is_vit

SMALL_HRNETS: dict[str, dict[str, int]] = {
    "hrnet_w16_small": {"width": 16, "blocks": 2, "stem": 32},
    "hrnet_w8_tiny": {"width": 8, "blocks": 1, "stem": 16},  # tests
}
RESNETS = ("resnet50", "resnet101", "resnet152")
LANDMARKERS = (*SMALL_HRNETS, *sorted(cfg_cls), *RESNETS, *LITES)


def _small_config(width: int, blocks: int, stem: int) -> dict[str, object]:
    """Make timm's configuration of an HRNet with one module a stage.

    Args:
        width: channels of the branch at stride 4; each coarser one has twice as many.
        blocks: number of blocks of a branch.
        stem: channels of the stem.
    """
    widths = tuple(width * 2**i for i in range(4))
    stages = [("BOTTLENECK", 1, (stem,)), *(("BASIC", blocks, widths[:n]) for n in (2, 3, 4))]
    config: dict[str, object] = {"stem_width": stem}
    for block, num_blocks, channels in stages:
        config[f"stage{len(channels)}"] = {
            "num_modules": 1,
            "num_branches": len(channels),
            "block_type": block,
            "num_blocks": (num_blocks,) * len(channels),
            "num_channels": channels,
            "fuse_method": "SUM",
        }
    return config


class _TopFusion(nn.Module):
    """The last module of a pose network, which fuses its branches into the first one only.

    timm fuses them into all four, as a classifier needs. Here the other three are returned unfused.
    """

    def __init__(self, module: HighResolutionModule) -> None:
        super().__init__()
        self.branches = module.branches
        assert isinstance(module.fuse_layers, nn.ModuleList)
        self.fuse_layers = module.fuse_layers[:1]
        self.fuse_act = module.fuse_act
        self.register_load_state_dict_pre_hook(_drop_unused_fusions)

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        """Apply the module to maps at strides 4, 8, 16 and 32; only the first one is fused."""
        maps = [branch(m) for branch, m in zip(self.branches, x, strict=True)]
        to_top = self.fuse_layers[0]
        assert isinstance(to_top, nn.ModuleList)
        top = reduce(torch.add, [f(m) for f, m in zip(to_top, maps, strict=True)])
        return [self.fuse_act(top), *maps[1:]]


def _drop_unused_fusions(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: Any) -> None:
    """Delete from ``state`` the three unused fusions, which timm's weights and older models contain."""
    used = (f"{prefix}branches.", f"{prefix}fuse_layers.0.")
    for name in [n for n in state if n.startswith(prefix) and not n.startswith(used)]:
        del state[name]


class HRNet(nn.Module):
    """HRNet without its classification head: images (B, 3, H, W) to the maps of its branches.

    Args:
        name: one of timm's ``hrnet_w*`` or of ``SMALL_HRNETS``.
        pretrained: name of timm weights such as ``ms_in1k``, a file of pose weights as their authors
            publish them (``pose_hrnet_w48_384x288.pth``), or None to start from scratch.
        top_only: fuse the last module into the first branch only, as the published pose network does.
        setting: name of the parameter ``pretrained``, for error messages.

    Raises:
        ValueError: unknown name, or a file without the weights of this network.
        OSError: the pretrained weights can't be loaded (no network, no such name, no such file).
    """

    stem_stride = 4  # pixels a cell of the stem's map

    def __init__(
        self,
        name: str,
        pretrained: str | None = None,
        *,
        top_only: bool = False,
        setting: str = "pretrained",
    ) -> None:
        super().__init__()
        file = file_of(pretrained)
        if name in SMALL_HRNETS:
            if pretrained:
                raise ValueError(f"{name} has no pretrained weights; set {setting} to null")
            self.net = HighResolutionNet(_small_config(**SMALL_HRNETS[name]), head="")
        elif name in cfg_cls:
            net = load_timm(name, None if file else pretrained, setting)
            assert isinstance(net, HighResolutionNet)
            self.net = net
        else:
            raise ValueError(f"unknown HRNet {name!r}; known: {[*SMALL_HRNETS, *sorted(cfg_cls)]}")
        for unused in ("incre_modules", "downsamp_modules", "final_layer", "classifier", "global_pool"):
            if hasattr(self.net, unused):
                setattr(self.net, unused, nn.Identity())
        if top_only:
            last = self.net.stage4[-1]
            assert isinstance(last, HighResolutionModule)
            self.net.stage4[-1] = _TopFusion(last)
        if file:
            load_whole(self.net, read_file(file, setting), file, setting)  # its head is left out
        self.stem_channels = self.net.conv2.out_channels
        with torch.no_grad():
            self.eval()
            self.channels = [y.shape[1] for y in self(torch.zeros(1, 3, 64, 64))]
            self.train()

    def stem(self, x: Tensor) -> Tensor:
        """Apply the first two convolutions to images (B, 3, H, W): (B, stem_channels, H/4, W/4)."""
        net = self.net
        x = net.act1(net.bn1(net.conv1(x)))
        return net.act2(net.bn2(net.conv2(x)))

    def stages(self, x: Tensor) -> list[Tensor]:
        """Turn the stem's map into the maps of the branches, at strides 4, 8, 16 and 32."""
        return self.net.stages(x)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute from images (B, 3, H, W) the maps at strides 4, 8, 16 and 32."""
        return self.stages(self.stem(x))


class Deconvolutions(nn.Module):
    """The neck of "Simple Baselines": three 4x4 transposed convolutions from stride 32 to 4."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for n in (inputs, width, width):
            deconv = nn.ConvTranspose2d(n, width, 4, 2, 1, bias=False)
            nn.init.normal_(deconv.weight, std=0.001)
            self.layers.extend([deconv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Upsample the last map, (B, inputs, H/32, W/32), and return [(B, width, H/4, W/4)]."""
        return [self.layers(maps[-1])]


class SimpleBaseline(nn.Module):
    """ResNet and three transposed convolutions ("Simple Baselines", Xiao et al., ECCV 2018).

    Args:
        name: one of ``RESNETS``.
        pretrained: timm's name of the weights such as ``tv_in1k``, or None.
        setting: name of the parameter ``pretrained``, for error messages.

    Raises:
        OSError: the pretrained weights can't be loaded.
    """

    stem_channels = 64
    stem_stride = 4  # pixels a cell of the stem's map

    def __init__(self, name: str, pretrained: str | None = None, setting: str = "pretrained") -> None:
        super().__init__()
        self.net = load_timm(name, pretrained, setting, num_classes=0, global_pool="")
        self.neck = Deconvolutions(2048, 256)
        self.channels = [256, 2048]

    def stem(self, x: Tensor) -> Tensor:
        """Apply convolution and pooling to images (B, 3, H, W): (B, stem_channels, H/4, W/4)."""
        net: Any = self.net
        return net.maxpool(net.act1(net.bn1(net.conv1(x))))

    def stages(self, x: Tensor) -> list[Tensor]:
        """Turn the stem's map into two maps: of the neck at stride 4, of the ResNet at stride 32."""
        net: Any = self.net
        deep = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        return [*self.neck([deep]), deep]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute from images (B, 3, H, W) the maps at strides 4 and 32."""
        return self.stages(self.stem(x))


Backbone = HRNet | SimpleBaseline | LitePyramid | ViT


def is_landmarker(name: str) -> bool:
    """Whether a name is that of a landmarker's backbone."""
    return name in LANDMARKERS or is_vit(name)


def landmarker_backbone(name: str, pretrained: str | None = None, crop: Crop | None = None) -> Backbone:
    """Make the backbone of a top-down landmarker.

    The head reads its first map, at stride 4, or at stride 16 from a ViT.

    Args:
        name: one of ``LANDMARKERS``, or a ViT's.
        pretrained: name of timm weights, for an HRNet or a ViT also a file of weights, for
            ``tf_efficientnet_lite0`` also ``package``; None starts from scratch.
        crop: (width, height) in pixels, which a ViT is made for.

    Raises:
        ValueError: unknown name, weights of another network, or a ViT without the size of the crop.
        OSError: the pretrained weights can't be loaded.
    """
    setting = "train_landmarker.pretrained"
    if name in RESNETS:
        return SimpleBaseline(name, pretrained, setting)
    if name in LITES:
        return LitePyramid(name, pretrained, setting)
    if is_vit(name):
        if crop is None:
            raise ValueError(f"{name}: a ViT is made for one size of crops, got none")
        return ViT(name, crop, pretrained, setting)
    if name not in LANDMARKERS:
        raise ValueError(f"train_landmarker.backbone: unknown {name!r}; known: {known_landmarkers()}")
    return HRNet(name, pretrained, top_only=True, setting=setting)


def known_landmarkers() -> str:
    """The names of all landmarker backbones, for error messages."""
    return f"{[*LANDMARKERS, *SMALL_VITS]}, or {PUBLISHED}"
