"""Exporting a trained landmarker, with any head, to ONNX or OpenVINO IR, with standard operators only.

The graph takes any number of crops as an image reader yields them: uint8, channels last, RGB. Scaling
and normalisation are inside, as is what makes heatmaps, densities or pixels of the head's output; the
flip test is outside, as it runs the graph twice. Every export is compared with torch before it is
published.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import torch
from torch import Tensor, nn

from fashion_ops.errors.reading import read_object
from fashion_ops.files.outputs import FolderKind, check_folder
from fashion_ops.files.publishing import publish
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.heatmaps import STRIDE, Crop
from fashion_ops.methods.parts.onnx_graph import Port, check_parity, to_onnx
from fashion_ops.methods.parts.openvino_core import CORE
from fashion_ops.methods.top_down.decode import activate, decode_normals, predict_classes
from fashion_ops.methods.top_down.heads import BINS
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.params import Section

Format = Literal["onnx", "openvino"]
NETWORK: dict[Format, str] = {"onnx": "network.onnx", "openvino": "network.xml"}
GRAPH = "export.json"
INPUT = "crops"
NOISE_CROPS = 3  # on which the network is compared with torch
CELLS = {
    "centers": "cell c is crop pixel (c + 1/2) * 4 - 1/2",
    "ends": "the first and the last cell are the first and the last pixel",
    "corners": "cell c is crop pixel 4 c",
}


class LandmarkerGraph(Section):
    """Description of an exported landmarker, ``export.json``."""

    format: Format
    head: Literal["heatmap", "simcc", "rle"]
    inputs: dict[str, Port]
    outputs: dict[str, Port]

    @classmethod
    def read(cls, folder: Path) -> "LandmarkerGraph":
        """Read ``export.json``; raises as ``read_object``, and ValueError if it is of another kind."""
        return cls.model_validate(read_object(folder / GRAPH))


EXPORT = FolderKind(
    "fashion-ops export landmarker",
    (GRAPH, SPEC, *NETWORK.values(), "network.bin"),  # the last one has OpenVINO's weights
    lambda folder: bool(LandmarkerGraph.read(folder)),
)


@dataclass(frozen=True)
class ExportedLandmarker:
    """An exported folder, its description, and the largest difference of each output from torch."""

    folder: Path
    graph: LandmarkerGraph
    differences: dict[str, float]


class _ServedNetwork(nn.Module):
    """The network that is exported, from crops to the graph's outputs."""

    def __init__(self, predictor: LandmarkPredictor) -> None:
        super().__init__()
        self.model, self.crop = predictor.model, predictor.crop
        self.head, self.heatmap = predictor.decoding.head, predictor.spec["heatmap"]

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """Compute from crops uint8 (B, H, W, 3) the outputs, in the order of the graph."""
        batch = normalize(crops.permute(0, 3, 1, 2).float() / 255)
        if self.head == "simcc":
            density = predict_classes(self.model, batch, None)
            return tuple(density.split([BINS * side for side in self.crop], -1))
        output = self.model(batch)
        if self.head == "heatmap":
            return (activate(output, **self.heatmap),)
        landmarks = decode_normals(output, self.crop)
        return landmarks[..., :2], landmarks[..., 3]


def export_landmarker(model: Path, out: Path, form: Format) -> ExportedLandmarker:
    """Write the folder ``out``: network, ``model.json``, ``export.json``.

    No time, path or host is written; the same landmarker gives the same ONNX file.

    Args:
        model: folder written by ``train_landmarker`` or ``finetune``.
        out: folder that is replaced as a whole, and only if the network equals torch in fp32. It must
            be new, or hold an earlier export of a landmarker.
        form: file format of the network.

    Raises:
        FileNotFoundError: ``model`` holds no landmarker.
        ValueError: the network does not equal torch.
        OutputRefused: ``out`` holds something else.
    """
    check_folder(out, EXPORT, inputs=(model,))
    predictor = LandmarkPredictor.load(model, CPU)
    graph = describe_graph(predictor, form)
    served = _ServedNetwork(predictor).eval()
    width, height = predictor.crop
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(rng.integers(0, 256, (NOISE_CROPS, height, width, 3), np.uint8))
    with torch.inference_mode():
        expected = dict(zip(graph.outputs, served(crops), strict=True))
    with tempfile.TemporaryDirectory() as scratch, publish(out, EXPORT) as folder:
        proto = to_onnx(served, crops[:2], (INPUT, list(graph.outputs)), "landmarker", dynamic=True)
        written = folder / NETWORK[form]
        if form == "onnx":
            onnx.save(proto, written)
        else:
            plain = Path(scratch, "plain.onnx")
            onnx.save(proto, plain)
            ov.save_model(CORE.read_model(plain), written, compress_to_fp16=False)
        (folder / SPEC).write_bytes((model / SPEC).read_bytes())
        (folder / GRAPH).write_text(graph.model_dump_json(indent=2) + "\n", encoding="utf-8")
        outputs = run_graph(written, graph, crops.numpy())
        far = {k: check_parity(k, outputs[k], v, form) for k, v in expected.items()}
    return ExportedLandmarker(out, graph, far)


def run_graph(network: Path, graph: LandmarkerGraph, crops: np.ndarray) -> dict[str, Tensor]:
    """Run an exported network in fp32 on the CPU: its outputs by name.

    Args:
        network: the file of the network.
        graph: the ``export.json`` beside it.
        crops: uint8 (B, H, W, 3), RGB.
    """
    if graph.format == "onnx":
        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        values = session.run(None, {INPUT: crops})
    else:
        hint = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = CORE.compile_model(network, "CPU", hint)
        found = compiled([crops])
        values = [found[i] for i in range(len(graph.outputs))]
    return {k: torch.from_numpy(np.array(v)) for k, v in zip(graph.outputs, values, strict=True)}


def describe_graph(predictor: LandmarkPredictor, form: Format) -> LandmarkerGraph:
    """Describe the network of an export: type, shape and meaning of its input and outputs."""
    (width, height), decoding = predictor.crop, predictor.decoding
    k = predictor.grouping.num_groups
    return LandmarkerGraph(
        format=form,
        head=decoding.head,  # type: ignore[arg-type]
        inputs={
            INPUT: Port(
                dtype="uint8",
                shape=("batch", height, width, 3),
                meaning="RGB 0..255, cut around a garment's box: the box enlarged to the aspect of the "
                f"crop, then {predictor.spec['padding']} times; black beyond the image",
            )
        },
        outputs=_outputs(decoding.head, k, (width, height), CELLS[decoding.cells]),
    )


def _outputs(head: str, k: int, crop: Crop, cells: str) -> dict[str, Port]:
    """The outputs of a head for K groups of landmarks; ``cells`` says where those of heatmaps lie."""

    def port(shape: tuple[int, ...], meaning: str) -> Port:
        return Port(dtype="float32", shape=("batch", k, *shape), meaning=meaning)

    width, height = crop
    if head == "heatmap":
        meaning = (
            f"heatmaps with peaks near 1, one a group; {cells}; the height of the peak is the score"
        )
        return {"heatmaps": port((height // STRIDE, width // STRIDE), meaning)}
    if head == "simcc":
        meaning = "density of {} over {} bins; bin b is crop pixel (b + 1/2) / 2 - 1/2"
        sides = {"x": width, "y": height}
        return {a: port((BINS * n,), meaning.format(a, BINS * n)) for a, n in sides.items()}
    return {
        "points": port((2,), "x, y, crop pixels"),
        "std": port((), "standard deviation of the distance to the landmark, crop pixels"),
    }


def as_text(exported: ExportedLandmarker) -> str:
    """Format an export and its differences from torch."""
    graph = exported.graph
    shape = "x".join(map(str, graph.inputs[INPUT].shape[2:0:-1]))
    off = ", ".join(f"{name} {value:.1e}" for name, value in exported.differences.items())
    return (
        f"{exported.folder}: {graph.format} fp32, head {graph.head}, any number of {shape} crops\n"
        f"largest difference from torch on noise: {off}"
    )
