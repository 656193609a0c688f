"""Warm start: initialise a detector from the weights of another one.

Tensors of the same name and shape are copied, the rest keeps its fresh initialisation. So
Hourglass-768 starts from Hourglass-512 (DeepMark++), or a detector of 62 groups from one of 81.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fashion_ops.errors.reading import read_weights
from fashion_ops.methods.artifact import WEIGHTS, read_spec
from fashion_ops.methods.centernet.inference import METHOD


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


def warm_start(model: nn.Module, folder: Path) -> WarmStart:
    """Copy all tensors that fit from a detector's folder into ``model``, in place.

    Raises:
        FileNotFoundError: ``folder`` holds no model.
        ValueError: it holds a model of another method, or none of its parameters fits.
    """
    read_spec(folder, METHOD)
    weights = read_weights(folder / WEIGHTS)
    state = model.state_dict()
    fitting = {n: t for n, t in weights.items() if n in state and state[n].shape == t.shape}
    parameters = {name for name, _ in model.named_parameters()}
    if not parameters & fitting.keys():
        raise ValueError(
            f"train_detector.start_from: {folder / WEIGHTS} shares no parameter with this network: "
            f"none of its {len(weights)} tensors fits one here; is it another backbone?"
        )
    model.load_state_dict(fitting, strict=False)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    return WarmStart(digest, len(fitting), sorted(state.keys() - fitting.keys()))
