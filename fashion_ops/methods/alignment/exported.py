"""An exported alignment model: its files, their description, prediction by ONNX Runtime or OpenVINO.

``export`` writes such a folder. Networks take crops as an image reader yields them: uint8, channels
last, RGB, any number at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float, UInt8
from pydantic import ValidationError
from torch import Tensor, nn

from fashion_ops.catalog.stderr import decoder_messages
from fashion_ops.errors.reading import read_object, readable
from fashion_ops.files.outputs import FolderKind
from fashion_ops.methods.alignment.crops import Crops, options_of_training
from fashion_ops.methods.alignment.dfa.cascade import Cascade
from fashion_ops.methods.alignment.gle.inference import METHOD as GLE
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.prediction import AlignmentMethod
from fashion_ops.methods.artifact import SPEC, read_spec
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.onnx_graph import Port
from fashion_ops.methods.parts.openvino_core import CORE
from fashion_ops.params import Section

Format = Literal["onnx", "openvino"]
GRAPH = "export.json"
INPUT = "crops"
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}
BATCH = 64  # crops that go through a network at once


class Ports(Section):
    """Inputs and outputs of one network."""

    inputs: dict[str, Port]
    outputs: dict[str, Port]


class AlignmentGraph(Section):
    """``export.json``: method, format, and the networks by the kind of garments that they are for."""

    method: Literal["dfa", "gle"]
    format: Format
    networks: dict[str, Ports]

    @classmethod
    def find(cls, folder: Path) -> "AlignmentGraph | None":
        """Read the description of a folder; None if the folder is no export of an alignment model.

        Raises:
            ValueError: it is one, and its description is damaged.
        """
        path = folder / GRAPH
        if not path.is_file():
            return None
        values = read_object(path)
        if "networks" not in values:  # of a detector or a landmarker
            return None
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from error


def _is_own(folder: Path) -> bool:
    """Whether a folder is such an export and holds no other networks."""
    graph = AlignmentGraph.find(folder)
    networks = {path.stem for path in folder.iterdir() if path.suffix != Path(GRAPH).suffix}
    return graph is not None and networks - {".DS_Store"} <= graph.networks.keys()


EXPORT = FolderKind(
    "fashion-ops export dfa|gle",
    (GRAPH, SPEC, "*.onnx", "*.xml", "*.bin"),
    _is_own,
)


class Session:
    """A network in ONNX Runtime or OpenVINO on the CPU, in fp32.

    Args:
        path: its file.
        form: which of the two.
        threads: number of CPU threads; 0 uses all cores.

    Raises:
        ValueError: the file is missing or cannot be read.
    """

    def __init__(self, path: Path, form: Format, threads: int = 0) -> None:
        self._onnx: Any = None
        with readable(path, f"a network of {form}"), decoder_messages():
            if form == "onnx":
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads, options.log_severity_level = threads, 3
                self._onnx = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
                return
            config: dict[str, Any] = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
            }
            if threads:
                config["INFERENCE_NUM_THREADS"] = threads
            self._request = CORE.compile_model(path, "CPU", config).create_infer_request()

    def __call__(self, crops: UInt8[np.ndarray, "b h w 3"]) -> list[np.ndarray]:
        """Compute the outputs, in their order."""
        crops = np.ascontiguousarray(crops)
        if self._onnx is not None:
            return self._onnx.run(None, {INPUT: crops})
        found = self._request.infer([crops])
        return [np.array(found[i]) for i in range(len(found))]


@dataclass(frozen=True)
class ExportedStages:
    """The stages of DFA for one kind of garments, a ``dfa.cascade.Regressor``."""

    session: Session
    options: dict[str, Any]

    def predict(self, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Predict normalised positions (M, n, 2) and visibility probabilities (M, n, 3)."""
        parts = []
        for start in range(0, len(crops), BATCH):
            rows = np.arange(start, min(start + BATCH, len(crops)))
            parts.append(self.session(crops.take(rows).permute(0, 2, 3, 1).numpy()))
        positions, visibility = (np.concatenate(values) for values in zip(*parts, strict=True))
        return positions, visibility


@dataclass
class ExportedGLE(GLEPredictor):
    """A GLE network whose heatmaps a session computes."""

    session: Session | None = None

    def heatmaps(self, crops: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """See ``GLEPredictor.heatmaps``."""
        assert self.session is not None
        return torch.from_numpy(self.session(crops.permute(0, 2, 3, 1).numpy())[0])


def open_exported(folder: Path, runtime: Format, threads: int = 0) -> AlignmentMethod:
    """Open a folder that ``export`` wrote, ready to predict on the CPU.

    Args:
        folder: contains ``export.json``.
        runtime: ``onnx``, or ``openvino``, which reads both formats.
        threads: number of CPU threads; 0 uses all cores.

    Raises:
        FileNotFoundError: the folder is no export of an alignment model.
        ValueError: a file of it is invalid, or of a format that the runtime can't read.
    """
    graph = AlignmentGraph.find(folder)
    if graph is None:
        raise FileNotFoundError(
            f"{folder}: no exported alignment model here; `fashion-ops export dfa` or `export gle` "
            "makes one"
        )
    if runtime == "onnx" and graph.format != "onnx":
        raise ValueError(
            f"{folder}: is an export for {graph.format}, the runtime onnx can't read it; use the "
            f"runtime {graph.format}, or export with --format onnx"
        )
    spec = read_spec(folder, graph.method)
    sessions = {
        kind: Session(folder / f"{kind}{SUFFIX[graph.format]}", runtime, threads)
        for kind in graph.networks
    }
    if graph.method == GLE:
        return ExportedGLE(nn.Identity(), spec, CPU, session=next(iter(sessions.values())))
    options = options_of_training(spec["training"])
    return Cascade(folder, {k: ExportedStages(s, options) for k, s in sessions.items()})
