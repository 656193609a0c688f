"""VGG backbones by name: torchvision's networks unchanged, and small ones of the same design.

``vgg11`` to ``vgg19``, with or without ``_bn``, can take torchvision's pretrained weights. ``small``
and ``tiny`` are for a few CPU cores and for tests; they have batch norm and train from scratch. A
backbone ends with fc6, before its ReLU: there DFA's cascade concatenates the previous positions.
"""

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


class VGGBackbone(nn.Module):
    """Maps crops (B, 3, S, S) to fc6 (B, ``width``), before its ReLU.

    Args:
        name: one of ``VGGS`` or ``SMALL``.
        input_size: S, a multiple of the backbone's stride.
        pretrained: torchvision's name of the weights, such as ``IMAGENET1K_V1``, or None.

    Raises:
        ValueError: the name or the weights are unknown, or the size is no multiple of the stride.
        OSError: the weights cannot be downloaded.
    """

    def __init__(self, name: str, input_size: int, pretrained: str | None = None) -> None:
        super().__init__()
        if name not in (*VGGS, *SMALL):
            raise ValueError(f"unknown alignment backbone {name!r}; known: {[*SMALL, *VGGS]}")
        stride = SMALL_STRIDE if name in SMALL else VGG_STRIDE
        if input_size % stride or input_size < stride:
            raise ValueError(f"input_size {input_size} must be a multiple of {stride} for {name!r}")
        self.name = name
        self.fc7_pretrained: nn.Linear | None = None  # pretrained start of a head's fc7
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
                object.__setattr__(
                    self, "fc7_pretrained", fc7
                )  # not registered: the head owns its copy

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b w"]:
        """Compute fc6, before its ReLU, of crops that ``normalize`` has normalised."""
        return self.fc6(torch.flatten(self.pool(self.features(pixels)), 1))


def load_vgg(name: str, pretrained: str | None) -> VGG:
    """Make a VGG of torchvision.

    Args:
        name: one of ``VGGS``.
        pretrained: torchvision's name of the weights, such as ``IMAGENET1K_V1``; None initialises at
            random.

    Raises:
        ValueError: torchvision has no such weights.
        OSError: the weights cannot be downloaded.
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
