"""VGG trunks by name: torchvision's networks as they are, and small ones of the same make.

``vgg11 .. vgg19`` with or without ``_bn``, with torchvision's weights by name; ``small`` and ``tiny``
for two CPU cores and for tests (batch norm, from scratch). A trunk ends with fc6, before its ReLU,
where the cascade of DFA joins the previous positions.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.vgg import VGG, make_layers

Layers = list[str | int]
SMALL: dict[str, tuple[Layers, int]] = {  # layers as torchvision writes them, width of fc6
    "small": ([16, "M", 32, "M", 64, "M", 128, "M"], 256),
    "tiny": ([16, "M", 16, "M", 32, "M", 32, "M"], 64),
}
VGGS = tuple(f"vgg{n}{norm}" for n in (11, 13, 16, 19) for norm in ("", "_bn"))
CELLS = 7  # torchvision's VGG pools to 7 x 7 before fc6
SMALL_STRIDE, VGG_STRIDE = 16, 32


class Trunk(nn.Module):
    """Crops (B, 3, S, S) to fc6 (B, ``width``), before its ReLU.

    Args:
        name: one of ``VGGS`` or ``SMALL``.
        input_size: S, a multiple of the trunk's stride.
        pretrained: torchvision's name of the weights, such as ``IMAGENET1K_V1``, or None.

    Raises:
        ValueError: unknown name or weights, or a size that doesn't fit.
        OSError: the weights can't be had (no network).
    """

    def __init__(self, name: str, input_size: int, pretrained: str | None = None) -> None:
        super().__init__()
        if name not in (*VGGS, *SMALL):
            raise ValueError(f"unknown alignment backbone {name!r}; known: {[*SMALL, *VGGS]}")
        stride = SMALL_STRIDE if name in SMALL else VGG_STRIDE
        if input_size % stride or input_size < stride:
            raise ValueError(f"input_size {input_size} must be a multiple of {stride} for {name!r}")
        self.name = name
        self.fc7_pretrained: nn.Linear | None = None  # for a head that starts where VGG's own ended
        if name in SMALL:
            if pretrained is not None:
                raise ValueError(f"{name} has no pretrained weights; set pretrained to null")
            layers, self.width = SMALL[name]
            self.features = make_layers(layers, batch_norm=True)
            channels = [layer for layer in layers if isinstance(layer, int)][-1]
            self.pool: nn.Module = nn.Identity()
            self.fc6 = nn.Linear(channels * (input_size // stride) ** 2, self.width)
        else:
            net = load_vgg(name, pretrained)
            self.features, self.pool = net.features, nn.AdaptiveAvgPool2d(CELLS)
            fc6, fc7 = net.classifier[0], net.classifier[3]
            assert isinstance(fc6, nn.Linear) and isinstance(fc7, nn.Linear)
            self.fc6, self.width = fc6, fc6.out_features
            if pretrained is not None:
                object.__setattr__(self, "fc7_pretrained", fc7)  # lent, not a part of the trunk

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b w"]:
        """Of ``normalize``d pixels."""
        return self.fc6(torch.flatten(self.pool(self.features(pixels)), 1))


def load_vgg(name: str, pretrained: str | None) -> VGG:
    """A torchvision VGG with its published weights or without.

    Raises:
        ValueError: no such weights.
        OSError: the weights can't be had (no network).
    """
    known = torchvision.models.get_model_weights(name).__members__
    if pretrained is not None and pretrained not in known:
        raise ValueError(
            f"{name} has no pretrained weights {pretrained!r} in torchvision; known: {list(known)}"
        )
    try:
        net = torchvision.models.get_model(name, weights=known[pretrained] if pretrained else None)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"pretrained weights '{name}.{pretrained}' can't be loaded ({error}); put them in the "
            "local model cache on a machine with network access, or set pretrained to null to train "
            "from scratch"
        ) from error
    assert isinstance(net, VGG)
    return net


@contextmanager
def full_precision() -> Iterator[None]:
    """No bf16 within: it would round a position to 1/256 of the crop."""
    with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
        yield
