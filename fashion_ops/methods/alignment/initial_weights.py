"""The weights that a training of DFA or GLE starts from: an own model, or a published VGG.

Own models are folders with ``model.json``. A published VGG is a file of torchvision
(``vgg16-397923af.pth``) or of timm, whose fc6 and fc7 are convolutions over the pooled map; both were
trained on pixels normalised as ours are.
"""

from pathlib import Path

from torch import Tensor

from fashion_ops.errors.reading import read_weights
from fashion_ops.methods.artifact import WEIGHTS, read_spec
from fashion_ops.methods.parts.published_weights import FILES, read_file

_VGG_LAYERS = {  # of the files, and what they are
    "classifier.0.": "fc6.",
    "classifier.3.": "fc7.",
    "pre_logits.fc1.": "fc6.",
    "pre_logits.fc2.": "fc7.",
}


def read_initial(source: Path, method: str, setting: str) -> tuple[Path, dict[str, Tensor], bool]:
    """Read the weights that ``source`` names.

    Args:
        source: folder of a model of ``method``, or a file of a published VGG.
        method: ``dfa`` or ``gle``.
        setting: name of the parameter that names the source, for messages.

    Returns:
        The file, its tensors, and whether it is a VGG. A VGG's tensors are called
        ``features.N.weight``, ``fc6.weight``, ``fc7.weight`` and so on; its classes are left out.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds no model.
        ValueError: the model is of another method, or the file is no VGG.
    """
    if source.suffix not in FILES:
        read_spec(source, method)
        return source / WEIGHTS, read_weights(source / WEIGHTS), False
    weights = read_file(source, setting)
    found = dict(_vgg_tensors(weights)) if isinstance(weights, dict) else {}
    if "features.0.weight" not in found:
        raise ValueError(
            f"{setting}: {source}: is no VGG of torchvision or timm (features.0.weight is missing); "
            f"name such a file, or the folder of a trained {method} model"
        )
    return source, found, True


def _vgg_tensors(weights: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    """The tensors of a VGG by our names."""
    found = []
    for name, tensor in weights.items():
        if name.startswith("features."):
            found.append((name, tensor))
        for theirs, ours in _VGG_LAYERS.items():
            if name.startswith(theirs):
                leaf = name.removeprefix(theirs)
                found.append((ours + leaf, tensor.flatten(1) if leaf == "weight" else tensor))
    return found
