"""Warm start: initialise a detector from the weights of another one.

Tensors of the same name and shape are copied, the rest keeps its fresh initialisation. So
Hourglass-768 starts from Hourglass-512 (DeepMark++), or a detector of 62 groups from one of 81. The
first one starts from a checkpoint of COCO as CenterNet publishes them.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fashion_ops.errors.reading import read_weights
from fashion_ops.methods.artifact import WEIGHTS, read_spec
from fashion_ops.methods.centernet.inference import METHOD
from fashion_ops.methods.centernet.published_weights import read_published
from fashion_ops.methods.parts.published_weights import FILES


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


def warm_start(model: nn.Module, source: Path, backbone: str) -> WarmStart:
    """Copy all tensors that fit from another detector into ``model``, in place.

    Args:
        model: the network to train.
        source: a detector's folder, or a file that CenterNet published.
        backbone: the name of the model's backbone.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds no model.
        ValueError: it is a model of another method or backbone, or none of its parameters fits.
    """
    if source.suffix in FILES:
        file, weights = source, read_published(source, backbone, model)
    else:
        read_spec(source, METHOD)
        file, weights = source / WEIGHTS, read_weights(source / WEIGHTS)
    state = model.state_dict()
    fitting = {n: t for n, t in weights.items() if n in state and state[n].shape == t.shape}
    parameters = {name for name, _ in model.named_parameters()}
    if not parameters & fitting.keys():
        raise ValueError(
            f"train_detector.start_from: {file} shares no parameter with this network: "
            f"none of its {len(weights)} tensors fits one here; is it another backbone?"
        )
    model.load_state_dict(fitting, strict=False)
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return WarmStart(digest, len(fitting), sorted(state.keys() - fitting.keys()))
