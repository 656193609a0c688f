"""Starting a detector from another one's weights: another input size, grouping or data set.

Hourglass-768 starts from Hourglass-512 (DeepMark++), a detector of 62 groups from one of 81: tensors of
the same name and shape are taken, the rest stays as it was made.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from fashion_ops.methods.artifact import WEIGHTS, read_spec
from fashion_ops.methods.centernet.inference import METHOD


@dataclass(frozen=True)
class Start:
    """What a run began with: digest of the weights, how many tensors were taken, names of the rest."""

    sha256: str
    taken: int
    fresh: list[str]


def start_from(model: nn.Module, folder: Path) -> Start:
    """Copy what fits from a detector's folder into ``model``.

    Raises:
        FileNotFoundError: no model there.
        ValueError: a model of another method, or no parameter of it fits.
    """
    read_spec(folder, METHOD)
    weights = load_file(folder / WEIGHTS)
    own = model.state_dict()
    fitting = {n: t for n, t in weights.items() if n in own and own[n].shape == t.shape}
    parameters = {name for name, _ in model.named_parameters()}
    if not parameters & fitting.keys():
        raise ValueError(
            f"train_detector.start_from: {folder / WEIGHTS} shares no parameter with this network: "
            f"none of its {len(weights)} tensors fits one here; is it another backbone?"
        )
    model.load_state_dict(fitting, strict=False)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    return Start(digest, len(fitting), sorted(own.keys() - fitting.keys()))
