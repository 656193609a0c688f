"""Warm start: a network takes over those tensors of another one that fit by name and shape.

What has no counterpart, or is left out because it means something else there, keeps its initialisation.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    @property
    def spec(self) -> dict[str, Any]:
        """What ``model.json`` keeps of it; no path, so that equal models give equal bytes."""
        return {"sha256": self.sha256, "fresh": self.fresh}

    def in_words(self, setting: str, source: str) -> str:
        """Say in one sentence what was taken and what was not; at most four tensors are named.

        Args:
            setting: name of the parameter that gave the source.
            source: its value.
        """
        text = f"{setting}: {self.taken} tensors are those of {source}"
        if not self.fresh:
            return f"{text}, all that the network has"
        more = f" and {len(self.fresh) - 4} more" if len(self.fresh) > 4 else ""
        return f"{text}; {len(self.fresh)} start afresh: {', '.join(self.fresh[:4])}{more}"


def take_fitting(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    file: Path,
    setting: str,
    leave_out: tuple[str, ...] = (),
) -> WarmStart:
    """Copy all tensors of ``weights`` that fit into ``model``, in place.

    Args:
        model: the network to train.
        weights: tensors by the names of ``model``.
        file: that they were read from, for the digest and the message.
        setting: name of the parameter that names the file, for the message.
        leave_out: names, or their beginnings, that are not copied.

    Raises:
        ValueError: none of the model's parameters has a counterpart.
    """
    state = model.state_dict()
    fitting = {
        name: tensor
        for name, tensor in weights.items()
        if name in state and state[name].shape == tensor.shape and not name.startswith(leave_out)
    }
    parameters = {name for name, _ in model.named_parameters()}
    if not parameters & fitting.keys():
        raise ValueError(
            f"{setting}: {file} shares no parameter with this network: none of its {len(weights)} "
            "tensors fits one here; is it another backbone?"
        )
    model.load_state_dict(fitting, strict=False)
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return WarmStart(digest, len(fitting), sorted(state.keys() - fitting.keys()))
