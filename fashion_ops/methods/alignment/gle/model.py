"""The network of GLE: a backbone to stride 8, k global-local modules, up-sampling to full resolution.

A module (eq. 1-4) is a non-local block with a residual connection, then two 3x3 convolutions with
batch normalisation and ReLU. ``GLE.join`` is the warm start: a network trained without its modules
takes them in as identities and goes on from what it has learnt.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.parts.published_weights import load_timm

STRIDE = 8
VGG_LAYERS = {"vgg16": 23, "vgg16_bn": 33}  # up to the ReLU after conv4_3
SMALL_WIDTHS = {"small": (16, 32, 64), "tiny": (16, 16, 16)}


def make_backbone(name: str, pretrained: str | None) -> tuple[nn.Module, int]:
    """Make a network from images (B, 3, H, W) to maps (B, C, H/8, W/8) without negative values.

    Args:
        name: ``vgg16`` (as published), ``vgg16_bn``, or ``small`` and ``tiny`` for the demo and
            tests.
        pretrained: timm's name of ImageNet weights, such as ``tv_in1k``, or None.

    Returns:
        The network, and C.

    Raises:
        ValueError: the name is unknown, or the network has no pretrained weights.
        OSError: the pretrained weights cannot be downloaded, or timm has none of this name.
    """
    if name in VGG_LAYERS:
        net = load_timm(name, pretrained)
        layers = net.get_submodule("features")
        assert isinstance(layers, nn.Sequential)
        return layers[: VGG_LAYERS[name]], 512
    if name not in SMALL_WIDTHS:
        raise ValueError(f"unknown backbone {name!r} of GLE; known: {[*VGG_LAYERS, *SMALL_WIDTHS]}")
    if pretrained:
        raise ValueError(f"{name} has no pretrained weights; set pretrained to null")
    blocks, before = [], 3
    for width in SMALL_WIDTHS[name]:
        blocks.append(conv_bn(before, width, stride=2))
        before = width
    return nn.Sequential(*blocks), before


def conv_bn(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Make a 3x3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


class NonLocal(nn.Module):
    """Non-local block (eq. 1-3): adds to each place a mean over all places, weighted by similarity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.w = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Add to each place a weighted mean over all places, as ``w(y) + x``.

        ``y_i = sum_j exp(theta_i . phi_j) g_j / sum_j exp(theta_i . phi_j)``, where theta, phi, g and w
        are 1x1 convolutions and i and j places.
        """
        query, key, value = (f(x).flatten(2).transpose(1, 2) for f in (self.theta, self.phi, self.g))
        if torch.compiler.is_exporting():  # ONNX has attention with heads only: here one
            query, key, value = query[:, None], key[:, None], value[:, None]
        y = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        y = y[:, 0] if y.dim() == 4 else y
        return self.w(y.transpose(1, 2).unflatten(2, x.shape[2:])) + x


class GlobalLocal(nn.Module):
    """Global-local module (eq. 4): a non-local block and two 3x3 convolutions, ``F2(F1(NL(x)))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.non_local = NonLocal(channels)
        self.local = nn.Sequential(conv_bn(channels, channels), conv_bn(channels, channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Add global context to the features, then local context."""
        return self.local(self.non_local(x))

    @torch.no_grad()
    def become_identity(self, x: Float[Tensor, "b c h w"]) -> None:
        """Set the weights so that non-negative features pass unchanged.

        The non-local part becomes zero and each convolution an identity; each batch normalisation
        restores the mean and standard deviation that it removes. In training mode this is exact for
        ``x``, in eval mode for all features.
        """
        nn.init.zeros_(self.non_local.w.weight)
        assert self.non_local.w.bias is not None
        nn.init.zeros_(self.non_local.w.bias)
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        for part in self.local:
            conv, norm, _ = part  # type: ignore[misc]
            nn.init.dirac_(conv.weight)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(mean)


class GLE(nn.Module):
    """Maps crops to heatmaps of their own size.

    Args:
        backbone: of ``make_backbone``.
        landmarks: N, one heatmap each.
        modules: k, the number of global-local modules.
        pretrained: of ``make_backbone``.
        joined: whether the modules take part from the start; if not, call ``join`` later.
    """

    joined: Tensor
    has_joined: bool

    def __init__(
        self,
        backbone: str,
        landmarks: int,
        modules: int,
        pretrained: str | None = None,
        joined: bool = True,
    ) -> None:
        super().__init__()
        if modules < 0:
            raise ValueError(f"k is {modules}, the number of global-local modules can't be negative")
        self.trunk, channels = make_backbone(backbone, pretrained)
        self.embed = nn.Sequential(*(GlobalLocal(channels) for _ in range(modules)))
        self.up = _up_sampling(channels, landmarks, norm=backbone != "vgg16")
        self.register_buffer("joined", torch.tensor(joined))  # in the weights file
        self.has_joined = joined  # the same for the host, which would wait to read it from a GPU

    def features(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Compute the embedding at stride 8, which is the input of the up-sampling."""
        x = self.trunk(x)
        return self.embed(x) if self.has_joined else x

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n h w"]:
        """Compute heatmaps as large as the crop; the peaks of a trained model are near 1."""
        return self.up(self.features(x))

    @torch.no_grad()
    def join(self, pixels: Float[Tensor, "b 3 h w"]) -> None:
        """Let the modules take part from now on, as identities on the features of these crops."""
        features = self.trunk(pixels)
        for module in self.embed:
            assert isinstance(module, GlobalLocal)
            module.become_identity(features)
        self.take_part()

    def take_part(self) -> None:
        """Let the modules take part from now on, as they are."""
        self.joined.fill_(True)
        self.has_joined = True

    def _load_from_state_dict(self, *args: Any, **named: Any) -> None:
        super()._load_from_state_dict(*args, **named)
        self.has_joined = bool(self.joined)


def _up_sampling(channels: int, landmarks: int, norm: bool) -> nn.Sequential:
    """Make the up-sampling from stride 8 to 1, by three transposed convolutions, to ``landmarks`` maps.

    For 512 channels the widths are those of the released code. The published network has no batch
    normalisation here (``norm`` False). Where the backbone is trained from scratch with batch
    normalisation, the up-sampling needs it too.
    """
    base = max(16, channels // 8)
    widths = (base, max(16, base // 2), max(16, base // 4))
    layers: list[nn.Module] = []

    def add(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
        layers.extend(
            [conv, *([nn.BatchNorm2d(conv.out_channels)] if norm else []), nn.ReLU(inplace=True)]
        )

    add(nn.Conv2d(channels, base, 1))
    for before, after in ((base, base), (base, base), (base, 2 * base)):
        add(nn.Conv2d(before, after, 3, 1, 1))
    before = 2 * base
    for width, convolutions in zip(widths, (2, 2, 1), strict=True):
        add(nn.ConvTranspose2d(before, width, 4, 2, 1))
        for _ in range(convolutions):
            add(nn.Conv2d(width, width, 3, 1, 1))
        before = width
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    last = nn.Conv2d(before, landmarks, 1)
    nn.init.normal_(last.weight, std=0.001)
    return nn.Sequential(*layers, last)
