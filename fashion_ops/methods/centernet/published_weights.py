"""CenterNet's published checkpoints under our names: Hourglass-104 and DLA-34, trained on COCO.

The files are those of CenterNet's model zoo: ``ctdet_coco_hg.pth``, ``ctdet_coco_dla_2x.pth`` and their
``multi_pose`` relatives. DeepMark++ starts from them. Three things differ besides names:

- Their networks read BGR, normalised by COCO's mean and deviation. The first convolution and the batch
  norm behind it are changed so that ours compute the same from our input, except within three pixels of
  the border, where both pad with their own mean colour.
- Our regression heads have a fixed factor, ``model.UNITS``; their last layers are divided by it.
- Heads of COCO's own classes and joints have other shapes than ours; the warm start skips them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fashion_ops.errors.reading import read_weights, readable
from fashion_ops.methods.centernet.model import UNITS, head_channels
from fashion_ops.methods.parts.augment import MEAN, STD

COCO_MEAN = (0.40789654, 0.44719302, 0.47026115)  # BGR, CenterNet's data sets
COCO_STD = (0.28863828, 0.27408164, 0.27809835)
COUNTER = "num_batches_tracked"  # of batch norm; not in every file, and without effect
BLOCK = {"first.0": "conv1", "first.1": "bn1", "second.0": "conv2", "second.1": "bn2"}
# Tensors of the files that no network of ours has, by the start of their names.
IGNORED = {
    "hourglass104": (),
    "dla34_dcn": ("base.fc.", "base.level3.project.", "base.level4.project."),
}
FIRST = {
    "hourglass104": ("backbone.stem.0.0.weight", "backbone.stem.0.1.running_mean"),
    "dla34_dcn": ("backbone.net.base_layer.0.weight", "backbone.net.base_layer.1.running_mean"),
}


def read_published(path: Path, backbone: str, model: nn.Module) -> dict[str, Tensor]:
    """Read a published checkpoint for ``model``, a ``CenterNet`` or a part of one.

    Args:
        path: ``.pth`` file as published, or a ``.safetensors`` file with the same names.
        backbone: the model's: ``hourglass104`` or ``dla34_dcn``.
        model: gives the names and shapes that are wanted.

    Returns:
        Tensors by our names; heads only where the file has one of this name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no checkpoint of this backbone is published, or the file is another network's: a
            tensor of backbone or neck is missing, has another shape or is left over.
    """
    if backbone not in FIRST:
        raise ValueError(
            f"train_detector.start_from: {path}: CenterNet publishes weights of {sorted(FIRST)}, not "
            f"of {backbone!r}; set train_detector.backbone to one of them, or start_from to a folder"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"train_detector.start_from: {path}: no such file; copy CenterNet's published weights there"
        )
    return convert(_read(path), backbone, model, str(path))


def convert(
    published: Mapping[str, Tensor], backbone: str, model: nn.Module, file: str
) -> dict[str, Tensor]:
    """Rename and convert the tensors of a published checkpoint; see ``read_published``.

    Args:
        published: tensors by published names, maybe behind ``module.``, as a parallel run wrote them.
        backbone: a key of ``FIRST``.
        model: gives the names and shapes that are wanted.
        file: name of the file, for error messages.
    """
    theirs = {name.removeprefix("module."): tensor for name, tensor in published.items()}
    names = _hourglass_name if backbone == "hourglass104" else _dla_name
    wanted = {n: names(n) for n in model.state_dict() if not n.endswith("num_batches_tracked")}
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if (source := wanted.get(name)) is None:
            continue
        loaded, is_head = theirs.get(source), "heads." in name
        if loaded is not None and (is_head or loaded.shape == tensor.shape):
            found[name] = loaded.float()
        elif not is_head:
            actual = "missing" if loaded is None else f"of shape {list(loaded.shape)}"
            raise ValueError(
                f"train_detector.start_from: {file}: {source} is {actual}, must be of shape "
                f"{list(tensor.shape)}; is it the checkpoint of another network than {backbone}?"
            )
    if left := sorted(_left_over(theirs, set(wanted.values()), backbone)):
        raise ValueError(
            f"train_detector.start_from: {file}: {len(left)} tensors are not of {backbone}, such as "
            f"{left[0]}; is it the checkpoint of another network?"
        )
    _use_our_pixels(found, *FIRST[backbone])
    for head, unit in UNITS.items():
        for name in [n for n in found if f"heads.{head}.out." in n or f".{head}.out." in n]:
            found[name] = found[name] / unit
    return found


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint: of its ``state_dict``, or of the file itself."""
    if path.suffix == ".safetensors":
        return read_weights(path)
    with readable(path, "weights (torch)"):
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    weights = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise ValueError(f"{path}: holds no state_dict; expected a checkpoint of CenterNet")
    return weights


def _left_over(theirs: Mapping[str, Tensor], used: set[str], backbone: str) -> Iterator[str]:
    """Names of their backbone's and neck's tensors that nothing of ours takes, but those listed."""
    heads = tuple(f"{name}." for name in head_channels(1))
    skipped = (*heads, *IGNORED[backbone])
    for name in theirs:
        if name not in used and not name.startswith(skipped) and not name.endswith(COUNTER):
            yield name


def _use_our_pixels(found: dict[str, Tensor], convolution: str, mean: str) -> None:
    """Change the first convolution, and its batch norm's mean, from their pixels to ours, in place."""
    their_mean, their_std = torch.tensor(COCO_MEAN).flip(0), torch.tensor(COCO_STD).flip(0)  # RGB
    our_mean, our_std = torch.tensor(MEAN), torch.tensor(STD)
    weight = found[convolution].flip(1) / their_std[:, None, None]
    found[convolution] = weight * our_std[:, None, None]
    shift = (weight * (our_mean - their_mean)[:, None, None]).sum((1, 2, 3))
    found[mean] = found[mean] - shift


def _block(name: str) -> str:
    """The published name of a tensor within a residual block of the hourglass."""
    layer, _, leaf = name.rpartition(".")
    return f"{BLOCK.get(layer, layer)}.{leaf}"


def _hourglass_name(name: str) -> str:
    """The published name of a tensor of ours, for Hourglass-104."""
    part, rest = name.split(".", 1)
    if part in ("heads", "early_heads"):
        stack, rest = ("1", rest) if part == "heads" else rest.split(".", 1)
        head, layer, leaf = rest.split(".")
        return f"{head}.{stack}.{'0.conv' if layer == 'conv' else '1'}.{leaf}"
    part, index, rest = rest.split(".", 2)  # behind "backbone."
    if part == "stem" and index == "0":
        return f"pre.0.{_conv_bn(rest)}"
    if part in ("stem", "mix"):
        return f"{'pre' if part == 'stem' else 'inters'}.{index}.{_block(rest)}"
    if part in ("keep", "back"):
        return f"{'inters_' if part == 'keep' else 'cnvs_'}.{index}.{rest}"
    if part == "out":
        return f"cnvs.{index}.{_conv_bn(rest)}"
    path = f"kps.{index}"
    while rest.startswith("inner.") and not rest.split(".")[1].isdigit():
        path, rest = f"{path}.low2", rest.removeprefix("inner.")
    branch, index, rest = rest.split(".", 2)
    theirs = {"across": "up1", "down": "low1", "inner": "low2", "up": "low3"}[branch]
    return f"{path}.{theirs}.{index}.{_block(rest)}"


def _conv_bn(name: str) -> str:
    """The published name of a tensor within a convolution with batch norm: ``0.weight`` and so on."""
    layer, leaf = name.split(".")
    return f"{'conv' if layer == '0' else 'bn'}.{leaf}"


def _dla_name(name: str) -> str:
    """The published name of a tensor of ours, for DLA-34 with deformable convolutions."""
    part, rest = name.split(".", 1)
    if part == "heads":
        head, layer, leaf = rest.split(".")
        return f"{head}.{'0' if layer == 'conv' else '2'}.{leaf}"
    if part == "backbone":
        return f"base.{rest.removeprefix('net.')}"
    if rest.startswith("stages."):
        _, index, rest = rest.split(".", 2)
        path = f"dla_up.ida_{index}"
    else:
        path, rest = "ida_up", rest.removeprefix("last.")
    kind, index, rest = rest.split(".", 2)
    theirs = f"{path}.{ {'project': 'proj', 'merge': 'node', 'up': 'up'}[kind] }_{int(index) + 1}"
    if kind == "up":
        return f"{theirs}.{rest}"
    layer, leaf = rest.split(".", 1)
    if layer == "1":
        return f"{theirs}.actf.0.{leaf}"
    leaf = leaf.removeprefix("conv.").replace("offset_mask", "conv_offset_mask")
    return f"{theirs}.conv.{leaf}"
