"""A model on disk: ``weights.safetensors`` and ``model.json``; self-contained, without pickles.

``model.json`` holds everything needed to rebuild the network and to prepare its input: the method, the
arguments of the architecture, the grouping, the preprocessing, and the parameters of the training. The
same model gives the same bytes: no time, host or path is written.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import nn

from fashion_ops.errors.reading import mend, read_object, read_weights, readable
from fashion_ops.methods.parts.history import History, write_history
from fashion_ops.methods.pickles import refuse_pickles
from fashion_ops.workspace import maker

Model = TypeVar("Model", bound=nn.Module)

WEIGHTS = "weights.safetensors"
SPEC = "model.json"


class Spec(dict[str, Any]):
    """The content of the ``model.json`` at ``path``; a missing key is an error that names the file."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise ValueError(
            f"{self.path}: has no {key!r}, so it describes no whole model; {mend(self.path)}"
        )


def save_model(
    folder: Path, model: nn.Module, spec: dict[str, Any], history: History | None = None
) -> None:
    """Write the weights, ``spec`` and, if given, the history of the training.

    Args:
        folder: existing folder.
        model: any network.
        spec: content of ``model.json``, which ``load_model`` builds the network from.
        history: metrics of each epoch, in order.
    """
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / SPEC).write_text(json.dumps(spec, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if history is not None:
        write_history(folder, history)


def read_spec(folder: Path, method: str) -> dict[str, Any]:
    """Read the ``model.json`` of a folder; check that the model is of ``method`` and no file a pickle.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: the model is of another method.
        UnsafeModel: some file in the folder could run code when it is loaded.
    """
    path = folder / SPEC
    if not path.is_file():
        step = maker(folder)
        how = f"`fashion-ops {step}` makes one" if step else "name a folder of models, or of one model"
        raise FileNotFoundError(f"{folder}: no model here ({SPEC} is missing); {how}")
    refuse_pickles(folder)
    spec = Spec(read_object(path), path)
    if spec.get("method") != method:
        raise ValueError(f"{path}: method is {spec.get('method')!r}, expected {method!r}")
    return spec


def load_model(
    folder: Path,
    method: str,
    build: Callable[[dict[str, Any]], Model],
    device: torch.device,
) -> tuple[Model, dict[str, Any]]:
    """Load the network of a model folder, in eval mode, and its spec, the content of ``model.json``.

    Args:
        folder: a model folder.
        method: the method that the model must be of.
        build: returns the untrained network of a spec; its tensors must match the weights.
        device: where the network runs, see ``select_device``.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: the model is of another method, or the weights do not fit the network of the spec.
        UnsafeModel: some file in the folder could run code when it is loaded.
    """
    spec = read_spec(folder, method)
    with readable(folder / SPEC, "the description of a model"):
        model = build(spec)
    weights = read_weights(folder / WEIGHTS)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # torch names each tensor on a line of its own
        first = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise ValueError(
            f"{folder}: {WEIGHTS} are not those of the network that {SPEC} describes: {first}; take "
            "both files from one model"
        ) from error
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return model, spec
