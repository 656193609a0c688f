"""What DFA and DeepPose cost: networks, forward passes a garment, parameters, multiply-accumulates.

Both as the paper compares them: the same trunk, the same crop, N landmarks, three stages. Counted on
torch's meta device, as everything in ``methods.describe``.
"""

from typing import Any

import torch

from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.vgg import VGGS
from fashion_ops.methods.costs import costs
from fashion_ops.params import DfaStage

METHODS = ("dfa", "deeppose")


def describe_alignment(
    method: str,
    params: DfaStage,
    backbone: str | None = None,
    size: int | None = None,
    landmarks: int = 8,
) -> dict[str, Any]:
    """Networks trained, networks that one garment passes, and what they compute.

    Args:
        method: ``dfa`` or ``deeppose``.
        params: of the chain; DeepPose takes the same trunk and crop.
        backbone: of ``alignment.vgg``; None is that of ``params``. A VGG other than that gets 224-px
            crops.
        size: side of the crop, pixels; None as above.
        landmarks: N.

    Returns:
        ``networks``: trained; ``passes``: of one garment, with routing where ``params`` route;
        ``parameters``, ``macs``: of all networks, and of one garment's passes; ``stages``: by stage.

    Raises:
        ValueError: unknown backbone, or a crop that doesn't fit it.
    """
    name = backbone or params.backbone
    if size is None:
        size = 224 if name in VGGS and name != params.backbone else params.input_size
    stages = [_stage(method, number, params, name, size, landmarks) for number in (1, 2, 3)]
    return {
        "method": method,
        "backbone": name,
        "size": [size, size],
        "landmarks": landmarks,
        **{key: sum(s[key] for s in stages) for key in stages[0]},
        "stages": stages,
    }


def _stage(
    method: str, number: int, params: DfaStage, name: str, size: int, landmarks: int
) -> dict[str, int]:
    """One stage of a description."""
    with torch.device("meta"):
        pixels, before = torch.empty(1, 3, size, size), torch.empty(1, landmarks, 2)
        if method == "deeppose" and number > 1:
            patches = PatchStage(name, size, landmarks, None, 0.0).eval()
            counted = costs(patches, lambda: patches(pixels, before), lambda: patches(pixels, before))
            cost = {key: counted[key] for key in ("parameters", "macs")}
            return {"networks": landmarks, "passes": landmarks, **cost}
        clusters = params.clusters if method == "dfa" else 0
        net = StageNet(name, size, landmarks, clusters, method == "dfa" and number > 1).eval()
    counted = costs(net, lambda: net(pixels, before), lambda: net(pixels, before))
    two = method == "dfa" and number == 3 and params.branches != "one"
    networks, passes = (2 if two else 1), (2 if two and params.branches == "average" else 1)
    return {
        "networks": networks,
        "passes": passes,
        "parameters": counted["parameters"] * networks,
        "macs": counted["macs"] * passes,
    }


def as_text(description: dict[str, Any]) -> str:
    """A description as lines to read."""
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
