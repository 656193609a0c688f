"""Costs of a network: parameters, multiply-accumulates and output channels, in all and by part.

Networks are built and run on torch's meta device, so any size takes no memory and hardly any time.

A description is a dictionary with these keys:

- ``method``: ``detector | landmarker | refiner | gle``; ``backbone``; ``size``: [width, height], px;
- detector, landmarker: ``grouping``; refiner: ``category``; gle: ``modules``; detector:
  ``neck_width``, ``head_width``; landmarker: ``head``;
- ``parameters``: all parameters, including those that only training uses;
- ``macs``: multiply-accumulates of one image at inference, those of convolutions (plain, transposed,
  deformable) and matrix products. Biases, norms, activations, sums, pooling and the bilinear sampling
  of deformable convolutions are not counted;
- ``launches``: operations that one forward pass starts, views left out; on a GPU kernels, or more;
- ``channels``: {output: channels}; ``output_channels``: their sum;
- ``parts``: {part: {parameters, parameters_share, macs, macs_share}}; shares are fractions;
- ``training_only``: {parameters, macs} of the heads of all stacks but the last, of the head of
  pseudo-labels, and of the flow of an RLE head's loss, whose MACs are not counted; these parameters
  are included in ``parameters``, these MACs are not in ``macs``;
- detector: ``unused_in_reference``: {parameters, macs} of two 1x1 projections of DLA-34 whose output
  the published network does not use; timm left them out;
- detector: ``reference``: {parameters, macs, operations} of the network as published, with the unused
  projections and the heads of all stacks. ``operations`` counts as DeepMark++'s Table 6 does (in
  GFLOPs): as MACs, but biases once for each output value, 2 for each value of a batch norm, and
  transposed convolutions by their output; null with deformable convolutions, which that does not cover.
"""

from typing import Any

import torch

from fashion_ops.methods.alignment import describe as alignment
from fashion_ops.methods.centernet.backbones.dla import Deformable, DLAUp, Unused, unused_projections
from fashion_ops.methods.centernet.model import CenterNet, head_channels
from fashion_ops.methods.costs import costs, published_operations
from fashion_ops.methods.parts.backbones import RESNETS, is_landmarker, known_landmarkers
from fashion_ops.methods.posefix.model import LandmarkerPoseFix, PoseFix
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORIES, load_grouping
from fashion_ops.taxonomy import category as find_category

METHODS = ("detector", "landmarker", "refiner")
Size = tuple[int, int]  # width, height
Description = dict[str, Any]


def describe(
    method: str,
    params: Params,
    backbone: str | None = None,
    grouping: str | None = None,
    category: str | None = None,
    size: Size | None = None,
    head: str | None = None,
) -> Description:
    """Describe the network that ``params`` would train, with the given changes.

    Another backbone comes with its default widths, not those of ``params``.

    Args:
        method: ``detector | landmarker | refiner``, or ``dfa | deeppose | gle``
            (``alignment.describe``).
        params: gives the value of each argument that is None.
        backbone: name of the backbone; a refiner also takes ``landmarker``, the landmarker's backbone.
        grouping: ``none | agg81 | semantic62``; not for a refiner.
        category: of a refiner; None is the category with the most landmarks.
        size: (width, height), pixels.
        head: of a landmarker, ``heatmap | simcc | rle``.

    Raises:
        ValueError: unknown names, options that the method does not have, or a size that does not fit.
    """
    if method != "landmarker" and head:
        raise ValueError(f"a {method} has no choice of heads; leave out head {head!r}")
    if method in alignment.METHODS:
        if grouping or category or (size and size[0] != size[1]):
            raise ValueError(f"{method} takes a backbone and the side of a square; leave out the rest")
        return alignment.describe_alignment(
            method, params.dfa_stage, backbone, size[0] if size else None
        )
    if method == alignment.GLE_METHOD:
        if grouping or category:
            raise ValueError("gle takes a backbone and the size of a crop; leave out the rest")
        return alignment.describe_gle(params.train_gle, backbone, size)
    if method not in METHODS:
        known = ", ".join((*METHODS, *alignment.METHODS, alignment.GLE_METHOD))
        raise ValueError(f"unknown method {method!r}; known: {known}")
    if method != "refiner" and category:
        raise ValueError(f"a {method} serves all categories; leave out category {category!r}")
    if method == "refiner" and grouping:
        raise ValueError(
            f"a refiner has the landmarks of its category; leave out grouping {grouping!r}, "
            "give a category"
        )
    groups = grouping or params.aggregate.grouping
    if method == "detector":
        p = params.train_detector
        groups = grouping or p.grouping or groups
        widths = (None, None)
        if backbone in (None, p.backbone):
            widths = (p.head_width, p.neck_width)
        return describe_detector(backbone or p.backbone, groups, size or p.input_size, *widths)
    landmarker = params.train_landmarker
    size = size or landmarker.crop
    if method == "landmarker":
        name = backbone or landmarker.backbone
        clusters = params.pseudo_label.clusters if landmarker.pseudo_label_weight else 0
        return describe_landmarker(name, groups, size, clusters, head or landmarker.head)
    backbone = backbone or params.refine.backbone
    if backbone == "landmarker":
        backbone = landmarker.backbone
    most = max(CATEGORIES, key=lambda c: c.num_landmarks)
    return describe_refiner(backbone, category or most.name, size)


def describe_detector(
    backbone: str,
    grouping: str,
    size: int | Size,
    head_width: int | None = None,
    neck_width: int | None = None,
) -> Description:
    """Describe a CenterNet.

    Args:
        backbone: a key of ``centernet.backbones.by_name.BACKBONES``.
        grouping: ``none | agg81 | semantic62``.
        size: of the image, pixels; the side of a square, or (width, height).
        head_width: channels inside each head; None is the backbone's default.
        neck_width: channels of the map that the heads read; None is the backbone's default.

    Raises:
        ValueError: unknown backbone or grouping, a width or a size that doesn't fit the backbone.
    """
    width, height = (size, size) if isinstance(size, int) else size
    groups = load_grouping(grouping).num_groups
    with torch.device("meta"):
        model = CenterNet(backbone, groups, neck_width, head_width).eval()
        pixels = torch.empty(1, 3, height, width)
    _check(width, height, model.multiple)

    def all_stacks() -> None:
        for features, heads in zip(
            model.features(pixels), [*model.early_heads, model.heads], strict=True
        ):
            for head in heads.children():
                head(features)

    description = {
        "method": "detector",
        "backbone": backbone,
        "grouping": grouping,
        "size": [width, height],
        "neck_width": model.neck_width,
        "head_width": model.head_width,
        **_outputs(head_channels(groups)),
        **costs(model, lambda: model(pixels), all_stacks),
    }
    unused = Unused(0, 0, 0)
    if isinstance(model.neck, DLAUp):
        unused = unused_projections(height, width)
    operations = None
    if not any(isinstance(m, Deformable) for m in model.modules()):
        operations = published_operations(model, all_stacks) + unused.macs + unused.norm_operations
    description["unused_in_reference"] = {"parameters": unused.parameters, "macs": unused.macs}
    description["reference"] = {
        "parameters": description["parameters"] + unused.parameters,
        "macs": description["macs"] + description["training_only"]["macs"] + unused.macs,
        "operations": operations,
    }
    return description


def describe_landmarker(
    backbone: str, grouping: str, size: Size, clusters: int = 0, head: str = "heatmap"
) -> Description:
    """Describe a top-down landmarker.

    The last module of an HRNet is fused into the highest resolution only, as published. timm's HRNet
    has three more fusions there, whose output is not used; they are neither run nor counted.

    Args:
        backbone: see ``parts.backbones.landmarker_backbone``.
        grouping: ``none | agg81 | semantic62``, or a category's name for the landmarks of that alone.
        size: crop (width, height), pixels.
        clusters: number of pseudo-labels of a category, or 0 for no label head.
        head: ``heatmap | simcc | rle``.

    Raises:
        ValueError: unknown backbone, grouping or head, or a size that is no multiple of 32.
    """
    _check(*size, 32)
    groups = load_grouping(grouping).num_groups
    with torch.device("meta"):
        model = Landmarker(backbone, groups, clusters, head=head, crop=size).eval()
        crops = torch.empty(1, 3, size[1], size[0])
    training = (lambda: model.with_labels(crops)) if clusters else (lambda: model(crops))
    channels = {
        "heatmap": {"heatmaps": groups},
        "simcc": {"x": groups, "y": groups},
        "rle": {"mean": 2 * groups, "std": 2 * groups},
    }
    return {
        "method": "landmarker",
        "backbone": backbone,
        "head": head,
        "grouping": grouping,
        "size": list(size),
        **_outputs(channels[head]),
        **costs(model, lambda: model(crops), training),
    }


def describe_refiner(backbone: str, category: str, size: Size) -> Description:
    """Describe the PoseFix of one category.

    Args:
        backbone: a ResNet makes the published network; an HRNet or a ViT is that of the landmarker from
            which the refiner starts.
        category: name of the category whose landmarks it refines.
        size: crop (width, height), pixels.

    Raises:
        ValueError: unknown backbone or category, or a size that is no multiple of 32.
    """
    if not is_landmarker(backbone):
        raise ValueError(f"refine.backbone: unknown {backbone!r}; known: {known_landmarkers()}")
    _check(*size, 32)
    n = find_category(category).num_landmarks
    with torch.device("meta"):
        model: torch.nn.Module
        if backbone in RESNETS:
            model = PoseFix(backbone, n, 1.0).eval()
        else:
            model = LandmarkerPoseFix(backbone, n, 1.0, size).eval()
        inputs = torch.empty(1, 3, size[1], size[0]), torch.empty(1, n, 2), torch.empty(1, n).bool()
    return {
        "method": "refiner",
        "backbone": backbone,
        "category": category,
        "size": list(size),
        **_outputs({"heatmaps": n}),
        **costs(model, lambda: model(*inputs), lambda: model(*inputs)),
    }


def parse_size(text: str) -> Size:
    """Parse ``256``, the side of a square, or ``288x384`` as (width, height), pixels.

    Raises:
        ValueError: the text is neither.
    """
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(s.isdecimal() and int(s) for s in sides):
        raise ValueError(f"size {text!r} is neither a side in pixels (256) nor WIDTHxHEIGHT (288x384)")
    return int(sides[0]), int(sides[-1])


def as_text(description: Description) -> str:
    """Format a description of any method as lines of text."""
    d = description
    if d["method"] in alignment.METHODS:
        return alignment.as_text(d)
    width, height = d["size"]
    landmarks = d.get("category", f"{d.get('modules')} modules")
    if "grouping" in d:
        landmarks = f"grouping {d['grouping']}"
    kind = f"{d['method']} ({d['head']})" if "head" in d else d["method"]
    lines = [
        f"{kind}: {d['backbone']}, {landmarks}, {width}x{height} pixels",
        f"{d['parameters']:,} parameters, {d['macs'] / 1e9:.4f} G multiply-accumulates an image "
        "(convolutions and matrix products)",
        f"{d['output_channels']} output channels: "
        + ", ".join(f"{name} {n}" for name, n in d["channels"].items()),
        "",
        f"{'part':12} {'parameters':>14} {'share':>7} {'MACs, G':>10} {'share':>7}",
    ]
    lines += [
        f"{name:12} {p['parameters']:14,} {p['parameters_share']:7.1%} "
        f"{p['macs'] / 1e9:10.4f} {p['macs_share']:7.1%}"
        for name, p in d["parts"].items()
    ]
    only = d["training_only"]
    if only["parameters"]:
        lines += [
            "",
            f"only in training: {only['parameters']:,} of the parameters, "
            f"and {only['macs'] / 1e9:.4f} G multiply-accumulates more",
        ]
    reference, unused = d.get("reference", {}), d.get("unused_in_reference", {})
    if unused.get("parameters"):
        lines += [
            "",
            f"not here: two projections of the published network, {unused['parameters']:,} parameters",
            f"and {unused['macs'] / 1e9:.4f} G, which it computes and throws away; with them",
            f"{reference['parameters']:,} parameters and {reference['macs'] / 1e9:.4f} G",
        ]
    if reference.get("operations"):
        lines += ["", f"as DeepMark++'s Table 6 counts: {reference['operations'] / 1e9:.3f} G"]
    return "\n".join(lines)


def _outputs(channels: dict[str, int]) -> Description:
    """Make the entries ``channels`` and ``output_channels`` of a description."""
    return {"channels": channels, "output_channels": sum(channels.values())}


def _check(width: int, height: int, multiple: int) -> None:
    """Raise ``ValueError`` unless both sides, in pixels, are positive multiples of ``multiple``."""
    if width % multiple or height % multiple or not width or not height:
        raise ValueError(f"size {width}x{height}: both sides must be multiples of {multiple}")
