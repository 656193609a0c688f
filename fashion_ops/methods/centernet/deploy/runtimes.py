"""Running exported detectors in ONNX Runtime and OpenVINO.

Both networks have the interface ``inference.Network``, as has ``inference.TorchNetwork``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import openvino as ov
import torch
from torch import Tensor

from fashion_ops.catalog.stderr import decoder_messages
from fashion_ops.errors.reading import readable
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.centernet.decode import Decoded
from fashion_ops.methods.centernet.deploy.graph import GARMENTS, INPUT, NETWORK, Graph
from fashion_ops.methods.centernet.inference import METHOD, Detection, Detector
from fashion_ops.methods.centernet.postprocess_file import FILE, read_postprocess
from fashion_ops.methods.parts.openvino_core import CORE
from fashion_ops.params import PostProcess

ExportRuntime = Literal["onnx", "openvino"]


@dataclass(frozen=True)
class OnnxNetwork:
    """An ONNX file run by ONNX Runtime on the CPU: an ``inference.Network``."""

    graph: Graph
    session: onnxruntime.InferenceSession

    @classmethod
    def open(cls, path: Path, graph: Graph, threads: int = 0) -> "OnnxNetwork":
        """Read a network.

        Args:
            path: the ONNX file.
            graph: its description, the ``export.json`` beside it.
            threads: number of CPU threads; 0 uses all cores.

        Raises:
            Exception: of ONNX Runtime, if the file is missing or cannot be read.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        return cls(graph, onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]))

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Run letterboxed images, uint8 (B, 3, S, S); returns the graph's outputs by name."""
        values = self.session.run(None, {INPUT: _pixels(images, self.graph)})
        return {k: torch.from_numpy(v) for k, v in zip(self.graph.outputs, values, strict=True)}


@dataclass(frozen=True)
class OpenvinoNetwork:
    """An OpenVINO IR or ONNX file run by OpenVINO on the CPU, tuned for one image at a time."""

    graph: Graph
    request: ov.InferRequest

    @classmethod
    def open(cls, path: Path, graph: Graph, threads: int = 0) -> "OpenvinoNetwork":
        """Read a network.

        An fp32 graph runs in fp32; others in whatever is fastest on the hardware, such as bf16.

        Args:
            path: the IR (``.xml``) or ONNX file.
            graph: its description, the ``export.json`` beside it.
            threads: number of CPU threads; 0 uses all cores.

        Raises:
            RuntimeError: the file is missing or cannot be read.
        """
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if graph.precision == "fp32":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        return cls(graph, CORE.compile_model(path, "CPU", config).create_infer_request())

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Run letterboxed images, uint8 (B, 3, S, S); returns the graph's outputs by name."""
        values = self.request.infer([_pixels(images, self.graph)], share_inputs=True)
        return {k: torch.from_numpy(values[i]) for i, k in enumerate(self.graph.outputs)}


def _pixels(images: Tensor, graph: Graph) -> np.ndarray:
    """Convert images uint8 (B, 3, S, S) to the graph's input (B, S, S, 3).

    Nothing is copied if the images are channels last in memory.

    Raises:
        ValueError: the graph takes another size or number of images.
    """
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
    """A detector read from an exported folder, ready to predict."""

    graph: Graph

    @classmethod
    def open(
        cls, folder: Path, runtime: ExportRuntime, post: PostProcess | None = None, threads: int = 0
    ) -> "ExportedDetector":
        """Read a folder written by ``export_detector``.

        Args:
            folder: contains ``export.json``.
            runtime: ``onnx`` or ``openvino``, which also reads an ONNX export.
            post: the post-processing; None uses the folder's ``postprocess.json``.
            threads: number of CPU threads; 0 uses all cores.

        Raises:
            FileNotFoundError: ``folder`` is no export.
            ValueError: a file of it is invalid, or the runtime or ``post`` does not fit the graph.
        """
        graph, spec = Graph.read(folder), read_spec(folder, METHOD)
        if runtime == "onnx" and graph.format != "onnx":
            raise ValueError(
                f"{folder}: is an export for {graph.format}, the runtime onnx can't read it; use the "
                f"runtime {graph.format}, or export with --format onnx"
            )
        post = post or read_postprocess(folder)
        if post.scales or (post.flip and graph.gives == "garments"):
            raise ValueError(
                f"{folder / FILE}: flip {post.flip}, scales {post.scales}; a graph takes one size, and "
                "one that decodes sees an image once: scales must be empty, then also flip false"
            )
        network = OnnxNetwork if runtime == "onnx" else OpenvinoNetwork
        path = folder / NETWORK[graph.format]
        with readable(path, f"a network of {graph.format}"), decoder_messages():
            opened = network.open(path, graph, threads)
        return cls(opened, spec, post, graph=graph)

    def decode(self, maps: dict[str, Tensor], min_score: float) -> Decoded:
        """Convert the graph's outputs into garments in input pixels, before NMS.

        Args:
            maps: what the network returned: maps or, if the graph decodes, garments.
            min_score: garments below may be left out.
        """
        if self.graph.gives == "maps":
            return super().decode(maps, min_score)
        most = max(1, int((maps["scores"] >= min_score).sum(1).max()))
        return Decoded(*(maps[name][:, :most] for name in GARMENTS))

    def detect(
        self, images: list[np.ndarray], score_threshold: float | None = None
    ) -> list[list[Detection]]:
        """Do what ``Detector.detect`` does, one image at a time if the graph takes only one."""
        if self.graph.batch is None:
            return super().detect(images, score_threshold)
        detections: list[list[Detection]] = []
        for image in images:
            detections += super().detect([image], score_threshold)
        return detections
