"""What DFA, DeepPose and GLE cost: networks, forward passes, parameters, multiply-accumulates.

DFA and DeepPose are described as the paper compares them: the same backbone, the same crop, eight
landmarks, three stages. Counts run on torch's meta device, as in ``methods.describe``.
"""

from typing import Any

import torch

from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.gle.model import GLE, STRIDE, VGG_LAYERS
from fashion_ops.methods.alignment.vgg import VGGS
from fashion_ops.methods.costs import costs
from fashion_ops.params import DfaStage, GLEConfig
from fashion_ops.taxonomy.alignment import NUM_SLOTS

METHODS = ("dfa", "deeppose")
GLE_METHOD = "gle"


def describe_alignment(
    method: str, config: DfaStage, backbone: str | None = None, size: int | None = None
) -> dict[str, Any]:
    """Count the networks of a method, the forward passes of one garment, and what they compute.

    Args:
        method: ``dfa`` or ``deeppose``.
        config: of the three stages; DeepPose takes the same backbone and crop.
        backbone: a name of ``alignment.vgg``; None takes that of ``config``.
        size: side of the crop, pixels; None takes 224 for a VGG other than that of ``config``, else the
            size of ``config``.

    Returns:
        ``networks``: trained networks; ``passes``: forward passes of one garment, with routing if
        ``config`` routes; ``parameters``: of all networks; ``macs``: of one garment's passes;
        ``stages``: the same for each stage.

    Raises:
        ValueError: the backbone is unknown, or the crop does not fit it.
    """
    name = backbone or config.backbone
    if size is None:
        size = 224 if name in VGGS and name != config.backbone else config.input_size
    stages = [_stage(method, number, config, name, size) for number in (1, 2, 3)]
    return {
        "method": method,
        "backbone": name,
        "size": [size, size],
        "landmarks": NUM_SLOTS,
        **{key: sum(s[key] for s in stages) for key in stages[0]},
        "stages": stages,
    }


def _stage(method: str, number: int, config: DfaStage, name: str, size: int) -> dict[str, int]:
    """Count one stage: its ``networks``, ``passes``, ``parameters`` and ``macs``.

    ``name`` is the backbone, ``size`` the side of the crop in pixels, ``number`` the stage, 1 to 3.
    """
    networks = passes = 1
    inputs: dict[str, torch.Tensor] = {}
    with torch.device("meta"):
        pixels, previous = torch.empty(1, 3, size, size), torch.empty(1, NUM_SLOTS, 2)
        if method == "deeppose" and number > 1:
            net = PatchStage(name, size, NUM_SLOTS, None, 0.0).eval()
        else:
            clusters = config.clusters if method == "dfa" else 0
            labels = clusters if number == 3 and config.label_input else 0
            cascade = method == "dfa" and number > 1
            net = StageNet(name, size, NUM_SLOTS, clusters, cascade, label_inputs=labels).eval()
            if labels:
                inputs["labels"] = torch.empty(1, labels)
            if method == "dfa" and number == 3 and config.branches != "one":
                networks, passes = 2, 2 if config.branches == "average" else 1
        run = lambda: net(pixels, previous, **inputs)  # noqa: E731
        counted = costs(net, run, run)
    parameters, macs = counted["parameters"] * networks, counted["macs"] * passes
    if isinstance(net, PatchStage):  # already counted with all of its networks
        networks = passes = NUM_SLOTS
    return {"networks": networks, "passes": passes, "parameters": parameters, "macs": macs}


def describe_gle(
    config: GLEConfig, backbone: str | None = None, size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Count the network of GLE with all of its modules, in the keys of ``methods.describe``.

    Args:
        config: gives the number of modules, and what is None.
        backbone: a name of ``gle.model.make_backbone``; None takes that of ``config``.
        size: crop (width, height), pixels; None takes 224 x 224 for a VGG other than that of
            ``config``, else the crop of ``config``.

    Raises:
        ValueError: the backbone is unknown, or a side is no multiple of 8.
    """
    name = backbone or config.backbone
    if size is None:
        size = (224, 224) if name in VGG_LAYERS and name != config.backbone else config.crop
    if any(side % STRIDE or not side for side in size):
        raise ValueError(f"size {size[0]}x{size[1]}: both sides must be multiples of {STRIDE}")
    with torch.device("meta"):
        model = GLE(name, NUM_SLOTS, config.modules).eval()
        crops = torch.empty(1, 3, size[1], size[0])
    return {
        "method": GLE_METHOD,
        "backbone": name,
        "modules": config.modules,
        "size": list(size),
        "channels": {"heatmaps": NUM_SLOTS},
        "output_channels": NUM_SLOTS,
        **costs(model, lambda: model(crops), lambda: model(crops)),
    }


def as_text(description: dict[str, Any]) -> str:
    """Format a description of ``describe_alignment`` as lines of text."""
    d = description
    lines = [
        f"{d['method']}: {d['backbone']}, {d['landmarks']} landmarks, crops of {d['size'][0]} pixels",
        f"{d['networks']} networks trained, {d['passes']} forward passes a garment",
        f"{d['parameters']:,} parameters, {d['macs'] / 1e9:.4f} G multiply-accumulates a garment",
        "",
        f"{'stage':5} {'networks':>9} {'passes':>7} {'parameters':>14} {'MACs, G':>10}",
    ]
    lines += [
        f"{k:5} {s['networks']:9} {s['passes']:7} {s['parameters']:14,} {s['macs'] / 1e9:10.4f}"
        for k, s in enumerate(d["stages"], 1)
    ]
    return "\n".join(lines)
