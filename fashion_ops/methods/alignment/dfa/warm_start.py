"""The start of a stage from the weights of another cascade, such as DeepFashion's before FLD.

Pseudo-labels are clusters of the garments that a cascade was trained on: the head that predicts them,
and the layer that takes them as input, mean something else on other garments and start afresh. So do
heads of another number of landmarks.
"""

from pathlib import Path

from fashion_ops.methods.alignment.dfa.inference import BRANCHES, METHOD, is_stage
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.initial_weights import read_initial
from fashion_ops.methods.parts.published_weights import FILES
from fashion_ops.methods.parts.warm_start import WarmStart, take_fitting

SETTING = "dfa_stage.start_from"


def warm_start(net: StageNet, source: Path, branch: int) -> WarmStart:
    """Copy all tensors that fit into the network of a stage, in place.

    Args:
        net: the network to train.
        source: folder of one model of a stage, or a file of a published VGG.
        branch: which of a stage's networks it is, where the source has two of them too.

    Raises:
        FileNotFoundError: there is no such file or model.
        ValueError: it is a model of another method, or none of its parameters fits.
    """
    own = source / BRANCHES[branch]
    file, weights, is_vgg = read_initial(own if own.is_dir() else source, METHOD, SETTING)
    if is_vgg:
        weights = {
            name if name.startswith("fc7.") else f"trunk.{name}": tensor
            for name, tensor in weights.items()
        }
    leave_out = ("labels.", "fc_previous.") if net.label_inputs else ("labels.",)
    return take_fitting(net, weights, file, SETTING, leave_out)


def find_source(start_from: Path, number: int, kind: str, inherits: bool) -> Path | None:
    """Find what a stage starts from, if it is not the stage before it.

    Args:
        start_from: folder of a cascade (``1`` to ``3``), of a stage, or of one model; or a file.
        number: of the stage, 1 to 3.
        kind: of garments, see ``alignment.data.kinds_of``.
        inherits: whether the stage starts from the one before it, unless a cascade has its counterpart.

    Returns:
        Folder of one model, or the file; None where there is only one for stage 1, and ``inherits``.

    Raises:
        FileNotFoundError: there is no such file or folder, or no model in it.
        ValueError: the folder holds models, but none for this kind.
    """
    if start_from.suffix in FILES:
        if not start_from.is_file():
            raise FileNotFoundError(f"{SETTING}: {start_from} is no file; copy the weights there")
        return None if inherits else start_from
    if not start_from.is_dir():
        raise FileNotFoundError(
            f"{SETTING}: {start_from}: no such folder; name one like models/dfa, or a file of a VGG"
        )
    stage = start_from / str(number)
    if stage.is_dir():
        return _model_of_kind(stage, kind)
    if inherits:
        return None
    if is_stage(start_from):
        return start_from
    return _model_of_kind(start_from / "1" if (start_from / "1").is_dir() else start_from, kind)


def _model_of_kind(stage: Path, kind: str) -> Path:
    """The model of a stage that is for a kind of garments."""
    if is_stage(stage / kind):
        return stage / kind
    kinds = sorted(path.name for path in stage.iterdir() if is_stage(path))
    if not kinds:
        raise FileNotFoundError(
            f"{SETTING}: {stage}: no model of DFA here; name a folder like models/dfa"
        )
    raise ValueError(
        f"{SETTING}: {stage}: has models for {', '.join(kinds)}, none for {kind}; name the folder of "
        "one of them, or set dfa_stage.per_type as it was there"
    )
