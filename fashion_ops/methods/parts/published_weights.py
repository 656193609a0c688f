"""Published weights: by timm's name, which needs network access, from a file on disk, or a package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from fashion_ops.errors.reading import read_weights, readable
from fashion_ops.methods.parts.packaged_weights import PACKAGED, load_packaged

FILES = (".pth", ".safetensors")


def file_of(pretrained: str | None) -> Path | None:
    """The file that a parameter ``pretrained`` names; None for weights of timm, or none."""
    return Path(pretrained) if pretrained and pretrained.endswith(FILES) else None


def load_timm(
    name: str, pretrained: str | None, setting: str = "pretrained", **options: Any
) -> nn.Module:
    """Make a network of timm, with its published weights or from scratch.

    Args:
        name: such as ``resnet50``.
        pretrained: timm's name of the weights, such as ``tv_in1k``; ``package`` for those of an
            installed package; None to start from scratch.
        setting: name of the parameter ``pretrained``, for the error message.
        options: arguments of ``timm.create_model``.

    Raises:
        OSError: the pretrained weights can't be loaded (no network, no such name, no package).
        ValueError: no package has weights of this network, or its file is another.
    """
    if pretrained == PACKAGED:
        network = timm.create_model(name, **options)
        load_packaged(network, name, setting)
        return network
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


def read_file(path: Path, setting: str) -> dict[str, Tensor]:
    """Read a ``.safetensors`` or ``.pth`` file of weights.

    Args:
        path: the file.
        setting: name of the parameter that gives the path, for error messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{setting}: {path} is no file; copy the published weights there")
    if path.suffix == ".safetensors":
        return read_weights(path)
    with readable(path, "weights (torch)"):
        return torch.load(path, map_location="cpu", weights_only=True)


def load_whole(net: nn.Module, weights: Mapping[str, Tensor], path: Path, setting: str) -> None:
    """Load weights into ``net``, which must find every tensor; what the file has beside is left out.

    Args:
        net: the network.
        weights: by the name of the tensor.
        path: where they come from, for error messages.
        setting: name of the parameter that gives the path, for error messages.

    Raises:
        ValueError: a tensor of this network is missing, or has another shape.
    """
    for name, tensor in net.state_dict().items():
        loaded = weights.get(name)
        if loaded is None or loaded.shape != tensor.shape:
            actual = "missing" if loaded is None else f"of shape {list(loaded.shape)}"
            raise ValueError(
                f"{setting}: {path}: {name} is {actual}, must be of shape {list(tensor.shape)}; "
                "are these the weights of another network?"
            )
    net.load_state_dict({name: weights[name] for name in net.state_dict()})
