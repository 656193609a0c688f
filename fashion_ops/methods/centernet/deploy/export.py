"""Exporting a trained detector to ONNX or OpenVINO IR, with standard operators only.

The graph takes letterboxed images as a JPEG decoder yields them: uint8, channels last, RGB. Scaling and
normalisation are inside. It returns the six maps, heatmaps after the sigmoid, or, if it decodes, the
garments of ``decode_fixed`` with the four techniques. NMS is done outside, where the number of garments
is known. Every export is compared with torch before it is published. ``runtimes`` runs an export.
"""

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import torch
from torch import Tensor, nn

from fashion_ops.files.outputs import check_folder
from fashion_ops.files.publishing import publish
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.centernet.decode import decode_fixed, grouping_slots
from fashion_ops.methods.centernet.deploy.graph import (
    EXPORT,
    INPUT,
    MAPS,
    NETWORK,
    ExportConfig,
    Graph,
    describe_graph,
)
from fashion_ops.methods.centernet.deploy.quantize import quantize
from fashion_ops.methods.centernet.deploy.runtimes import OnnxNetwork, OpenvinoNetwork
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.postprocess_file import write_postprocess
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.onnx_graph import check_parity, to_onnx
from fashion_ops.methods.parts.openvino_core import CORE
from fashion_ops.params import PostProcess

TOP = 10  # garments of an image that a decoding graph returns
NOISE_IMAGES = 3  # on which the network is compared with torch


@dataclass(frozen=True)
class ExportResult:
    """An exported folder, and how far each output is from torch in fp32.

    Attributes:
        folder: that was written.
        graph: description of the network in it.
        fp32: largest difference of each output before the precision is lowered.
        served: the same at the precision that the network runs in; for garments, of the median one.
    """

    folder: Path
    graph: Graph
    fp32: dict[str, float]
    served: dict[str, float]


class _ServedNetwork(nn.Module):
    """The network that is exported, from images to the graph's outputs."""

    def __init__(self, model: CenterNet, slots: Tensor, post: PostProcess | None) -> None:
        super().__init__()
        self.model = model
        self.post = post
        self.register_buffer("slots", slots)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute from images uint8 (B, S, S, 3) the outputs, in the order of the graph."""
        maps = self.model(normalize(images.permute(0, 3, 1, 2).float() / 255))
        maps = {k: v.sigmoid() if k.startswith("hm") else v for k, v in maps.items()}
        if self.post is None:
            return tuple(maps[name] for name in MAPS)
        return decode_fixed(maps, self.get_buffer("slots"), self.post, TOP)


def export_detector(
    model: Path,
    out: Path,
    config: ExportConfig,
    post: PostProcess,
    device: torch.device,
    calibration: np.ndarray | None = None,
) -> ExportResult:
    """Write the folder ``out``: network, ``model.json``, ``postprocess.json``, ``export.json``.

    The same detector gives the same bytes: no time, path or host is written.

    Args:
        model: folder written by ``train_detector``.
        out: folder that is replaced as a whole, and only if the network equals torch. It must be new,
            or hold an earlier export.
        config: how to export.
        post: the post-processing, part of the graph if it decodes; then flip and scales must be off.
        device: where torch computes what the export is compared with.
        calibration: letterboxed images uint8 (N, S, S, 3) for ``int8``.

    Raises:
        FileNotFoundError: ``model`` holds no detector.
        ValueError: ``config`` is not possible, or the network does not equal torch.
        OutputRefused: ``out`` holds something else.
    """
    check_folder(out, EXPORT, inputs=(model,))
    _check_config(config, post, calibration)
    detector = Detector.load(model, device)
    assert isinstance(detector.network, TorchNetwork)
    eager = copy.deepcopy(detector.network.model)
    slots = grouping_slots(detector.grouping)
    served = _ServedNetwork(eager, slots, post if config.decode else None).eval()
    size = detector.spec["input_size"]
    graph = describe_graph(config, size, detector.grouping.num_groups, TOP)
    images = _noise(size, NOISE_IMAGES if config.dynamic_batch else 1)
    expected = dict(zip(graph.outputs, _eager(served.to(device), images, device), strict=True))
    served.cpu()
    with tempfile.TemporaryDirectory() as scratch, publish(out, EXPORT) as folder:
        plain = Path(scratch) / "plain.onnx"
        _write_onnx(served, graph, plain)
        network = {"onnx": OnnxNetwork, "openvino": OpenvinoNetwork}[config.format]
        exact = network.open(plain, graph.model_copy(update={"precision": "fp32"}))
        fp32 = _check_parity(_align(exact(images), expected), expected, graph)
        final = plain
        if calibration is not None and config.precision == "int8":
            final = Path(scratch) / "int8.onnx"
            quantize(plain, final, calibration)
        written = folder / NETWORK[config.format]
        if config.format == "onnx":
            written.write_bytes(final.read_bytes())
        else:
            half = config.precision == "bf16"
            ov.save_model(CORE.read_model(final), written, compress_to_fp16=half)
        (folder / SPEC).write_bytes((model / SPEC).read_bytes())
        write_postprocess(folder, post)
        graph.write(folder)
        outputs = _align(network.open(written, graph)(images), expected)
    return ExportResult(out, graph, fp32, _differences(outputs, expected, median=config.decode))


def _check_config(config: ExportConfig, post: PostProcess, calibration: np.ndarray | None) -> None:
    """Check that an export is possible.

    Raises:
        ValueError: a format without this precision, INT8 without images, or a decoding graph with flip
            or scales.
    """
    if config.format == "onnx" and config.precision == "bf16":
        raise ValueError(
            "precision bf16: ONNX Runtime has no bf16 convolutions for CPUs; use the format openvino, "
            "or fp32 or int8"
        )
    if config.precision == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("precision int8: needs at least one calibration image, got none")
    if config.decode and (post.flip or post.scales):
        raise ValueError(
            f"a graph that decodes sees an image once: flip is {post.flip}, scales {post.scales}; "
            "must be false and empty"
        )


def _noise(size: int, count: int) -> Tensor:
    """Draw random images uint8 (count, 3, size, size), channels last in memory, the same every time."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, size, size, 3), np.uint8)).permute(0, 3, 1, 2)


@torch.inference_mode()
def _eager(served: _ServedNetwork, images: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """Run the network in torch, in fp32, on images uint8 (B, 3, S, S); the outputs are on the CPU."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 is off by 1e-3
        outputs = served(images.to(device).permute(0, 2, 3, 1))
    return tuple(output.cpu() for output in outputs)


def _write_onnx(served: _ServedNetwork, graph: Graph, path: Path) -> None:
    """Write a network as an ONNX file, without metadata that tells where it was made.

    Args:
        served: the network.
        graph: its description, which gives size, outputs and whether the batch is dynamic.
        path: file to write.

    Raises:
        ValueError: it has an operator outside the ONNX standard or one that OpenVINO can't read, or its
            batch size is fixed against the description.
    """
    dynamic = graph.batch is None
    example = torch.zeros(2 if dynamic else 1, graph.input_size, graph.input_size, 3, dtype=torch.uint8)
    proto = to_onnx(served, example, (INPUT, list(graph.outputs)), "centernet", dynamic=dynamic)
    if graph.format == "openvino" and any(n.op_type == "DeformConv" for n in proto.graph.node):
        raise ValueError(
            "the backbone has deformable convolutions, which OpenVINO can't read from ONNX; train the "
            "backbone mdla34, which has none, or use the format onnx"
        )
    onnx.save(proto, path)


def _align(outputs: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Reorder garments as in ``expected``, since garments with close scores may change places.

    Each garment of ``expected`` gets the nearest one of its category. Maps are returned as they are.
    """
    if "boxes" not in expected:
        return outputs
    distance = torch.cdist(expected["boxes"], outputs["boxes"])
    distance += 1e6 * (expected["category"][:, :, None] != outputs["category"][:, None])
    nearest = distance.argmin(-1)
    rows = torch.arange(len(nearest))[:, None]
    return {name: value[rows, nearest] for name, value in outputs.items()}


def _differences(
    outputs: dict[str, Tensor], expected: dict[str, Tensor], median: bool = False
) -> dict[str, float]:
    """Compute the largest absolute difference of each output, by name.

    With ``median``, the largest one is taken of each garment, and then the median over the garments.
    """
    differences = {}
    for name, value in expected.items():
        far = (outputs[name] - value).abs().double()
        garments = far.reshape(value.shape[0] * value.shape[1], -1)
        differences[name] = float(garments.amax(1).median() if median else far.max())
    return differences


def _check_parity(
    outputs: dict[str, Tensor], expected: dict[str, Tensor], graph: Graph
) -> dict[str, float]:
    """Return the differences of each output from torch, or raise if one is too large."""
    return {k: check_parity(k, outputs[k], v, graph.format) for k, v in expected.items()}
