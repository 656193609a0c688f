"""The start of GLE from the weights of another network, such as DeepFashion's before FLD.

Whether the global-local modules take part is a buffer of the network (``joined``), which says how far
its own training has come, and is not copied. Modules that took part and all fit are taken over and take
part from the start; joining them later would make identities of what they learnt. Otherwise all modules
start afresh and join when ``warm_start`` says.
"""

from pathlib import Path

from fashion_ops.methods.alignment.gle.inference import METHOD
from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.initial_weights import read_initial
from fashion_ops.methods.parts.warm_start import WarmStart, take_fitting

SETTING = "train_gle.start_from"
JOINED, MODULES = "joined", "embed."


def warm_start(model: GLE, source: Path) -> WarmStart:
    """Copy all tensors that fit into a network, in place.

    Args:
        model: the network to train.
        source: folder of a GLE model, or a file of a published VGG.

    Raises:
        FileNotFoundError: there is no such file or model.
        ValueError: it is a model of another method, or none of its parameters fits.
    """
    file, weights, is_vgg = read_initial(source, METHOD, SETTING)
    if is_vgg:
        weights = {name.replace("features.", "trunk.", 1): t for name, t in weights.items()}
    theirs = {name: t.shape for name, t in weights.items() if name.startswith(MODULES)}
    ours = {name: t.shape for name, t in model.state_dict().items() if name.startswith(MODULES)}
    joined = bool(weights.get(JOINED, False)) and theirs == ours
    start = take_fitting(model, weights, file, SETTING, (JOINED,) if joined else (JOINED, MODULES))
    if joined:
        model.take_part()
    return start
