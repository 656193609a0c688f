"""Vision transformers of timm as backbones of a landmarker: one map at stride 16.

- ``vit_*_patch16_*`` of timm: plain ViTs and DINOv3's, such as ``vit_small_patch16_224`` and
  ``vit_small_patch16_dinov3``.
- ``vit_w192_small`` and ``vit_w32_tiny``: small ones for the demo and for tests.

The tokens of the patches, after the last norm, are reshaped to a map as in ViTPose (Xu et al., NeurIPS
2022, arXiv 2204.12484); those of class and registers are left out. The network is made for one size of
crops; position embeddings of published weights are resampled to its grid.
"""

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import timm
from timm.models import eva, vision_transformer
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from fashion_ops.methods.parts.heatmaps import Crop
from fashion_ops.methods.parts.published_weights import file_of, load_timm, load_whole, read_file

PATCH = 16  # pixels
SMALL_VITS: dict[str, dict[str, Any]] = {
    "vit_w192_small": {"embed_dim": 192, "depth": 6, "num_heads": 3},
    "vit_w32_tiny": {"embed_dim": 32, "depth": 2, "num_heads": 2},  # tests
}
PUBLISHED = "a vit_*_patch16_* of timm"


def is_vit(name: str) -> bool:
    """Whether a name is one of ``SMALL_VITS``, or timm's of a ViT with patches of 16 pixels."""
    timms = name.startswith("vit_") and "_patch16_" in name and timm.is_model(name)
    return name in SMALL_VITS or timms


class ViT(nn.Module):
    """A ViT without its classification head: crops (B, 3, H, W) to [(B, D, H/16, W/16)].

    Args:
        name: see ``is_vit``.
        crop: (width, height) of the crops, pixels, multiples of 16.
        pretrained: timm's name of the weights, such as ``augreg_in21k`` or ``lvd1689m``; a ``.pth`` or
            ``.safetensors`` file of them, with timm's names or those of DINOv3's authors; or None.
        setting: name of the parameter ``pretrained``, for error messages.

    Raises:
        ValueError: a network of another kind, or a file without the weights of this network.
        OSError: the pretrained weights can't be loaded (no network, no such name, no such file).
    """

    stem_stride = PATCH  # pixels a cell of the stem's map

    def __init__(
        self, name: str, crop: Crop, pretrained: str | None = None, setting: str = "pretrained"
    ) -> None:
        super().__init__()
        file = file_of(pretrained)
        options: dict[str, Any] = {"img_size": (crop[1], crop[0]), "num_classes": 0, "global_pool": ""}
        if name in SMALL_VITS:
            if pretrained:
                raise ValueError(f"{name} has no pretrained weights; set {setting} to null")
            net: nn.Module = VisionTransformer(**options, **SMALL_VITS[name])
        else:
            net = load_timm(
                name, None if file else pretrained, setting, **options, dynamic_img_size=False
            )
        if not isinstance(net, VisionTransformer | Eva) or not _plain_patches(net):
            raise ValueError(
                f"train_landmarker.backbone: {name} does not embed patches as a plain ViT does; "
                "choose another one, such as vit_small_patch16_224 or vit_small_patch16_dinov3"
            )
        if file is not None:
            convert: Any = (eva if isinstance(net, Eva) else vision_transformer).checkpoint_filter_fn
            with redirect_stdout(StringIO()):  # timm prints what it expects to be missing
                weights = convert(read_file(file, setting), net)
            load_whole(net, weights, file, setting)
        self.patches = net.patch_embed.proj
        setattr(net, "patch_embed", _Tokens())  # noqa: B010  # of another class than timm's
        self.net = net
        self.stem_channels: int = net.embed_dim
        self.channels = [self.stem_channels]
        self.grid = crop[1] // PATCH, crop[0] // PATCH

    def stem(self, x: Tensor) -> Tensor:
        """Embed the patches of crops (B, 3, H, W): (B, D, H/16, W/16)."""
        return self.patches(x)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Turn the stem's map into the map of the last block's tokens, at stride 16."""
        net: Any = self.net
        tokens = net.forward_features(x)[:, net.num_prefix_tokens :]
        return [tokens.transpose(1, 2).unflatten(2, self.grid)]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute from crops (B, 3, H, W) the map at stride 16."""
        return self.stages(self.stem(x))


class _Tokens(nn.Module):
    """Stands for timm's patch embedding, where the patches are embedded already."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn a map (B, D, h, w) into tokens (B, h * w, D)."""
        return x.flatten(2).transpose(1, 2)


def _plain_patches(net: Any) -> bool:
    """Whether patches are embedded by one convolution of 16x16 pixels, and pooled by nothing."""
    proj = getattr(net.patch_embed, "proj", None)
    return (
        isinstance(proj, nn.Conv2d)
        and proj.kernel_size == (PATCH, PATCH)
        and isinstance(net.patch_embed.norm, nn.Identity)
    )
