"""Warm starts: the tensors of another model that fit a network are copied, the rest stays fresh."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn


@dataclass(frozen=True)
class WarmStart:
    """The weights that a training run started from.

    Attributes:
        sha256: digest of the weights file.
        taken: number of tensors copied.
        fresh: names of the network's other tensors, which keep their initialisation.
    """

    sha256: str
    taken: int
    fresh: list[str]


def copy_fitting(
    model: nn.Module, weights: Mapping[str, Tensor], file: Path, setting: str
) -> WarmStart:
    """Copy all tensors of the same name and shape into ``model``, in place.

    Args:
        model: the network to train.
        weights: of another one, by name.
        file: that they were read from.
        setting: name of the parameter that named it, for the message.

    Raises:
        ValueError: none of the network's parameters is among them.
    """
    state = model.state_dict()
    fitting = {n: t for n, t in weights.items() if n in state and state[n].shape == t.shape}
    parameters = {name for name, _ in model.named_parameters()}
    if not parameters & fitting.keys():
        raise ValueError(
            f"{setting}: {file} shares no parameter with this network: "
            f"none of its {len(weights)} tensors fits one here; is it another backbone?"
        )
    model.load_state_dict(fitting, strict=False)
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return WarmStart(digest, len(fitting), sorted(state.keys() - fitting.keys()))
