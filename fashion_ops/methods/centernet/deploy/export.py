"""A trained detector as a folder that serves alone: ONNX or OpenVINO IR, standard operators only.

The graph takes images as a JPEG decoder yields them, fitted into the square input: uint8, channels
last, RGB. Scaling and normalisation are inside. It gives the six maps, heatmaps after the sigmoid, or
with ``garments`` what ``decode_fixed`` finds in them, the four techniques included. Doubles are
suppressed outside, where the number of garments is known.

Every export is compared with torch before it appears. What runs one: ``runtimes``; INT8: ``quantize``.
"""

import copy
import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import torch
from torch import Tensor, nn

from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.centernet.decode import decode_fixed, grouping_slots
from fashion_ops.methods.centernet.deploy.graph import (
    INPUT,
    MAPS,
    NETWORK,
    Format,
    Graph,
    Precision,
    describe,
)
from fashion_ops.methods.centernet.deploy.quantize import quantize
from fashion_ops.methods.centernet.deploy.runtimes import OnnxNetwork, OpenvinoNetwork
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.postprocess_file import write_chosen
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.params import PostProcess
from fashion_ops.workspace import publish

OPSET = 19  # the first with DeformConv
TOP = 10  # garments that a graph with decoding gives for an image
TOLERANCE = 1e-4  # absolute, and relative to the value
IMAGES = 3  # of noise, on which parity is checked


@dataclass(frozen=True)
class Exported:
    """What was written, and how far each output is from torch in fp32.

    ``fp32``: the largest difference of the network before its precision is lowered. ``served``: as it
    is served; where it gives garments, of the median garment.
    """

    folder: Path
    graph: Graph
    fp32: dict[str, float]
    served: dict[str, float]


class _Served(nn.Module):
    """The network between images and what the graph gives."""

    def __init__(self, model: CenterNet, slots: Tensor, post: PostProcess | None) -> None:
        super().__init__()
        self.model = model
        self.post = post
        self.register_buffer("slots", slots)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images uint8 (B, S, S, 3) to the outputs in the order of ``MAPS`` or ``GARMENTS``."""
        maps = self.model(normalize(images.permute(0, 3, 1, 2).float() / 255))
        maps = {k: v.sigmoid() if k.startswith("hm") else v for k, v in maps.items()}
        if self.post is None:
            return tuple(maps[name] for name in MAPS)
        return decode_fixed(maps, self.get_buffer("slots"), self.post, TOP)


def export_detector(
    model: Path,
    out: Path,
    form: Format,
    post: PostProcess,
    precision: Precision = "fp32",
    garments: bool = False,
    dynamic_batch: bool = False,
    calibration: np.ndarray | None = None,
) -> Exported:
    """Write the folder ``out``: network, ``model.json``, ``postprocess.json``, ``export.json``.

    Same detector, same bytes: no time, path or host is written.

    Args:
        model: what ``train_detector`` wrote.
        out: replaced as a whole, and only once the network in it equals torch.
        form: ``onnx`` or ``openvino``.
        post: how the maps are read; part of the graph with ``garments``. One look at the image:
            its flip and scales must be off, a user of the maps may switch the flip on again.
        precision: ``bf16`` is OpenVINO's own choice on hardware that has it, with weights in half
            the space; ``int8`` needs ``calibration``.
        garments: decode inside the graph.
        dynamic_batch: any number of images at once; else the graph takes one.
        calibration: fitted images uint8 (N, S, S, 3).

    Raises:
        FileNotFoundError: no detector in ``model``.
        ValueError: what was asked for does not exist, or the network does not equal torch.
    """
    _refuse(form, precision, post, garments, calibration)
    detector = Detector.load(model)
    assert isinstance(detector.network, TorchNetwork)
    eager = copy.deepcopy(detector.network.model)
    slots = grouping_slots(detector.grouping)
    served = _Served(eager, slots, post if garments else None).eval()
    size, groups = detector.spec["input_size"], detector.grouping.num_groups
    graph = describe(form, precision, dynamic_batch, size, groups, TOP if garments else None)
    images = _noise(detector.spec["input_size"], IMAGES if dynamic_batch else 1)
    expected = dict(zip(graph.outputs, _eager(served, images), strict=True))
    with tempfile.TemporaryDirectory() as scratch, publish(out) as folder:
        plain = Path(scratch) / "plain.onnx"
        _write_onnx(served, graph, plain)
        network = {"onnx": OnnxNetwork, "openvino": OpenvinoNetwork}[form]
        exact = network.open(plain, graph.model_copy(update={"precision": "fp32"}))
        fp32 = _check(_paired(exact(images), expected), expected, graph)
        final = plain
        if calibration is not None and precision == "int8":
            final = Path(scratch) / "int8.onnx"
            quantize(plain, final, calibration)
        written = folder / NETWORK[form]
        if form == "onnx":
            written.write_bytes(final.read_bytes())
        else:
            ov.save_model(ov.Core().read_model(final), written, compress_to_fp16=precision == "bf16")
        (folder / SPEC).write_bytes((model / SPEC).read_bytes())
        write_chosen(folder, post)
        graph.write(folder)
        found = _paired(network.open(written, graph)(images), expected)
    return Exported(out, graph, fp32, _differences(found, expected, median=garments))


def _refuse(
    form: Format,
    precision: Precision,
    post: PostProcess,
    garments: bool,
    calibration: np.ndarray | None,
) -> None:
    if form == "onnx" and precision == "bf16":
        raise ValueError(
            "precision bf16: ONNX Runtime has no bf16 convolutions for CPUs; take the format openvino, "
            "or fp32 or int8"
        )
    if precision == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("precision int8: needs at least one calibration image, got none")
    if garments and (post.flip or post.scales):
        raise ValueError(
            f"a graph that decodes sees an image once: flip is {post.flip}, scales {post.scales}; "
            "must be false and empty"
        )


def _noise(size: int, count: int) -> Tensor:
    """Images uint8 (count, 3, size, size), channels last in memory, always the same."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, size, size, 3), np.uint8)).permute(0, 3, 1, 2)


@torch.inference_mode()
def _eager(served: _Served, images: Tensor) -> tuple[Tensor, ...]:
    return served(images.permute(0, 2, 3, 1))


def _write_onnx(served: _Served, graph: Graph, path: Path) -> None:
    """The graph as ONNX, with nothing in it that tells where it was made.

    Raises:
        ValueError: an operator outside the ONNX standard, or one that OpenVINO can't read.
    """
    dynamic = graph.batch is None
    example = torch.zeros(2 if dynamic else 1, graph.input_size, graph.input_size, 3, dtype=torch.uint8)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # speaks of torch's internals, as torch does
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        program = torch.onnx.export(
            served,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(graph.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},) if dynamic else None,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    if dynamic and not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ValueError(
            "the graph was made for one batch size, though any was asked for; not exported"
        )
    foreign = {n.op_type for n in proto.graph.node if n.domain not in ("", "ai.onnx")}
    if foreign or proto.functions:
        raise ValueError(f"not in the ONNX standard: {sorted(foreign)}")
    if graph.format == "openvino" and any(n.op_type == "DeformConv" for n in proto.graph.node):
        raise ValueError(
            "the backbone has deformable convolutions, which OpenVINO can't read from ONNX; train the "
            "backbone mdla34, which does without, or take the format onnx"
        )
    for holder in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    proto.producer_name, proto.producer_version, proto.graph.name = "fashion-ops", "", "centernet"
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _paired(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Garments in the order of those they lie nearest to, as close scores change places; maps as is."""
    if "boxes" not in expected:
        return found
    far = torch.cdist(expected["boxes"], found["boxes"])
    far += 1e6 * (expected["category"][:, :, None] != found["category"][:, None])
    nearest = far.argmin(-1)
    every = torch.arange(len(nearest))[:, None]
    return {name: value[every, nearest] for name, value in found.items()}


def _differences(
    found: dict[str, Tensor], expected: dict[str, Tensor], median: bool = False
) -> dict[str, float]:
    """The largest of each output; or of each garment, and of these the median."""
    out = {}
    for name, value in expected.items():
        far = (found[name] - value).abs().double()
        out[name] = float(
            far.reshape(value.shape[0] * value.shape[1], -1).amax(1).median() if median else far.max()
        )
    return out


def _check(found: dict[str, Tensor], expected: dict[str, Tensor], graph: Graph) -> dict[str, float]:
    differences = _differences(found, expected)
    for name, value in expected.items():
        far = (found[name] - value).abs() > TOLERANCE * (1 + value.abs())
        if far.any():
            raise ValueError(
                f"{graph.format}: output {name!r} is {differences[name]:.2g} off torch in fp32 "
                f"({int(far.sum())} of {far.numel()} values by more than {TOLERANCE:g}); not exported"
            )
    return differences
