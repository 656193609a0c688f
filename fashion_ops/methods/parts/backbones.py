"""Backbones by name: timm's networks as they are, and small ones of the same families for the demo.

- HRNet: ``hrnet_w18 | hrnet_w32 | hrnet_w48`` (timm, paper size) and ``hrnet_w16_small`` (one module
  a stage, two blocks a branch). They give one map at stride 4.
- Any name may come with pretrained weights, by timm's name of the weights, where there is a network.
"""

from typing import Any

import timm
import torch
from timm.models.hrnet import HighResolutionNet, cfg_cls
from torch import Tensor, nn

SMALL_HRNETS: dict[str, dict[str, int]] = {
    "hrnet_w16_small": {"width": 16, "blocks": 2, "stem": 32},
    "hrnet_w8_tiny": {"width": 8, "blocks": 1, "stem": 16},  # tests
}


def _small_config(width: int, blocks: int, stem: int) -> dict[str, object]:
    """Timm's HRNet configuration with one module a stage and ``blocks`` blocks a branch."""
    config: dict[str, object] = {
        "stem_width": stem,
        "stage1": {
            "num_modules": 1,
            "num_branches": 1,
            "block_type": "BOTTLENECK",
            "num_blocks": (1,),
            "num_channels": (stem,),
            "fuse_method": "SUM",
        },
    }
    for branches in (2, 3, 4):
        config[f"stage{branches}"] = {
            "num_modules": 1,
            "num_branches": branches,
            "block_type": "BASIC",
            "num_blocks": (blocks,) * branches,
            "num_channels": tuple(width * 2**i for i in range(branches)),
            "fuse_method": "SUM",
        }
    return config


class HRNet(nn.Module):
    """HRNet without its classification head: picture (B, 3, H, W) to its branches.

    Args:
        name: one of timm's ``hrnet_w*`` or of ``SMALL_HRNETS``.
        pretrained: name of timm weights such as ``ms_in1k``, or None to start from scratch.

    Raises:
        ValueError: unknown name.
        OSError: the pretrained weights can't be had (no network, no such name).
    """

    def __init__(self, name: str, pretrained: str | None = None) -> None:
        super().__init__()
        if name in SMALL_HRNETS:
            if pretrained:
                raise ValueError(f"{name} has no pretrained weights; set pretrained to null")
            self.net = HighResolutionNet(_small_config(**SMALL_HRNETS[name]), head="")
        elif name in cfg_cls:
            net = load_timm(name, pretrained)
            assert isinstance(net, HighResolutionNet)
            self.net = net
        else:
            raise ValueError(f"unknown HRNet {name!r}; known: {[*SMALL_HRNETS, *sorted(cfg_cls)]}")
        for unused in ("incre_modules", "downsamp_modules", "final_layer", "classifier", "global_pool"):
            if hasattr(self.net, unused):
                setattr(self.net, unused, nn.Identity())
        self.stem_channels = self.net.conv2.out_channels
        with torch.no_grad():
            self.eval()
            self.channels = [y.shape[1] for y in self(torch.zeros(1, 3, 64, 64))]
            self.train()

    def stem(self, x: Tensor) -> Tensor:
        """The first two convolutions: one map at stride 4, ``stem_channels`` wide."""
        net = self.net
        x = net.act1(net.bn1(net.conv1(x)))
        return net.act2(net.bn2(net.conv2(x)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps at strides 4, 8, 16, 32."""
        return self.net.stages(self.stem(x))


def load_timm(
    name: str, pretrained: str | None, setting: str = "pretrained", **options: Any
) -> nn.Module:
    """A network of timm by name, with its published weights or without.

    Args:
        name: such as ``resnet50``.
        pretrained: timm's name of the weights, such as ``tv_in1k``, or None to start from scratch.
        setting: the parameter that asked for them, for the error message.
        options: of ``timm.create_model``.

    Raises:
        OSError: the pretrained weights can't be had (no network, no such name).
    """
    full = f"{name}.{pretrained}" if pretrained else name
    try:
        return timm.create_model(full, pretrained=bool(pretrained), **options)
    except Exception as error:
        if not pretrained:
            raise
        raise OSError(
            f"pretrained weights {full!r} can't be loaded ({error}); put them in the local model cache "
            f"on a machine with network access, or set {setting} to null to train from scratch"
        ) from error
