"""Exported detectors at work: ONNX Runtime and OpenVINO behind ``inference.Network``'s interface.

Torch's own network is in ``inference``; the two serve the same ``Detector``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import onnxruntime
import openvino as ov
import torch
from torch import Tensor

from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.centernet.decode import Decoded, Maps
from fashion_ops.methods.centernet.deploy.graph import GARMENTS, INPUT, NETWORK, Graph
from fashion_ops.methods.centernet.inference import METHOD, Detection, Detector
from fashion_ops.methods.centernet.postprocess_file import FILE as CHOSEN
from fashion_ops.methods.centernet.postprocess_file import read_chosen
from fashion_ops.params import PostProcess

Runtime = Literal["onnx", "openvino"]


@dataclass(frozen=True)
class OnnxNetwork:
    """An ONNX file in ONNX Runtime, on the CPU."""

    graph: Graph
    session: onnxruntime.InferenceSession

    @classmethod
    def open(cls, path: Path, graph: Graph, threads: int = 0) -> Self:
        """Read a network; ``threads`` 0 takes all cores."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        return cls(graph, onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]))

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Fitted images uint8 (B, 3, S, S) to the graph's outputs by name."""
        values = self.session.run(None, {INPUT: _pixels(images, self.graph)})
        return {k: torch.from_numpy(v) for k, v in zip(self.graph.outputs, values, strict=True)}


@dataclass(frozen=True)
class OpenvinoNetwork:
    """An IR or ONNX file in OpenVINO, on the CPU, tuned for one image at a time."""

    graph: Graph
    request: ov.InferRequest

    @classmethod
    def open(cls, path: Path, graph: Graph, threads: int = 0) -> Self:
        """Read a network; ``threads`` 0 takes all cores.

        fp32 stays fp32; otherwise OpenVINO takes what the hardware is fastest with, bf16 where it can.
        """
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if graph.precision == "fp32":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        return cls(graph, ov.Core().compile_model(path, "CPU", config).create_infer_request())

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Fitted images uint8 (B, 3, S, S) to the graph's outputs by name."""
        values = self.request.infer([_pixels(images, self.graph)], share_inputs=True)
        return {k: torch.from_numpy(values[i]) for i, k in enumerate(self.graph.outputs)}


def _pixels(images: Tensor, graph: Graph) -> np.ndarray:
    """The graph's input, checked; no copy where the images are channels last in memory."""
    size, batch = graph.input_size, graph.batch
    if tuple(images.shape[1:]) != (3, size, size):
        raise ValueError(f"the graph takes images (3, {size}, {size}), got {tuple(images.shape[1:])}")
    if batch is not None and len(images) != batch:
        raise ValueError(
            f"the graph takes {batch} image at a time, got {len(images)}; export it with "
            "--dynamic-batch to give it more"
        )
    return images.permute(0, 2, 3, 1).contiguous().numpy()


@dataclass(frozen=True, kw_only=True)
class ExportedDetector(Detector):
    """A detector in an exported folder, ready to predict."""

    graph: Graph

    @classmethod
    def open(
        cls, folder: Path, runtime: Runtime, post: PostProcess | None = None, threads: int = 0
    ) -> Self:
        """Read a folder that ``export`` wrote.

        Args:
            folder: with ``export.json``.
            runtime: what runs it; OpenVINO also reads an ONNX export.
            post: how maps are read; None takes the folder's own.
            threads: 0 takes all cores.

        Raises:
            FileNotFoundError: no export there.
            ValueError: its parts can't be read, or the runtime or ``post`` does not go with the graph.
        """
        graph, spec = Graph.read(folder), read_spec(folder, METHOD)
        if runtime == "onnx" and graph.format != "onnx":
            raise ValueError(
                f"{folder}: is an export for {graph.format}, the runtime onnx can't read it; take the "
                f"runtime {graph.format}, or export with --format onnx"
            )
        chosen = post or read_chosen(folder)
        if chosen.scales or (chosen.flip and graph.gives == "garments"):
            raise ValueError(
                f"{folder / CHOSEN}: flip {chosen.flip}, scales {chosen.scales}; a graph takes "
                "one size, and one that decodes one look: scales must be empty, then also flip false"
            )
        network = OnnxNetwork if runtime == "onnx" else OpenvinoNetwork
        path = folder / NETWORK[graph.format]
        return cls(network.open(path, graph, threads), spec, chosen, graph=graph)

    def decode(self, maps: dict[str, Tensor], min_score: float) -> Decoded:
        """Garments in what the graph gives, in input pixels, doubles and all."""
        if self.graph.gives == "maps":
            return super().decode(maps, min_score)
        most = max(1, int((maps["scores"] >= min_score).sum(1).max()))
        return Decoded(*(maps[name][:, :most] for name in GARMENTS))

    def detect(
        self, images: list[np.ndarray], score_threshold: float | None = None
    ) -> list[list[Detection]]:
        """As ``Detector.detect``; one by one where the graph takes one image at a time."""
        if self.graph.batch is None:
            return super().detect(images, score_threshold)
        found: list[list[Detection]] = []
        for image in images:
            found += super().detect([image], score_threshold)
        return found
