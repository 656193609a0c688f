"""Exporting DFA or GLE to ONNX or OpenVINO IR, with standard operators only.

One network for each kind of garments. That of DFA holds all stages with the choice between the two
networks of the last one, so it computes both; that of GLE ends with the heatmaps. Scaling and
normalisation of the pixels are inside. Every export is compared with torch before it is published.
"""

import copy
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import torch
from torch import Tensor, nn

from fashion_ops.files.outputs import check_folder
from fashion_ops.files.publishing import publish
from fashion_ops.methods.alignment.dfa.cascade import NUMBERS, Cascade, Stages
from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.model import Output, StageNet
from fashion_ops.methods.alignment.exported import (
    EXPORT,
    GRAPH,
    INPUT,
    SUFFIX,
    AlignmentGraph,
    Format,
    Ports,
    Session,
)
from fashion_ops.methods.alignment.gle.inference import METHOD as GLE
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.onnx_graph import Port, check_parity, to_onnx
from fashion_ops.methods.parts.openvino_core import CORE

NOISE_CROPS = 3  # on which a network is compared with torch


@dataclass(frozen=True)
class ExportedAlignment:
    """An exported folder, its description, and the largest difference of each output from torch.

    ``differences`` are by kind of garments, then by output.
    """

    folder: Path
    graph: AlignmentGraph
    differences: dict[str, dict[str, float]]


class CascadeNetwork(nn.Module):
    """The stages of DFA for one kind of garments, from crops to positions and visibility."""

    def __init__(self, stages: tuple[TrainedStage, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.ModuleList(stage.nets) for stage in stages)
        self.routers = [stage.router for stage in stages]
        for number, router in enumerate(self.routers):
            errors = np.zeros(0) if router is None else router[0]
            self.register_buffer(f"errors{number}", torch.from_numpy(errors.astype(np.float32)))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Compute from crops uint8 (B, S, S, 3) positions (B, n, 2) and probabilities (B, n, 3)."""
        pixels = normalize(crops.permute(0, 3, 1, 2).float() / 255)
        positions = visibility = labels = None
        for number, nets in enumerate(self.stages):
            assert isinstance(nets, nn.ModuleList)
            out = [self._run(net, pixels, positions, labels) for net in nets]
            router, easy = self.routers[number], None
            if router is not None:
                assert labels is not None
                easy = ((labels @ self.get_buffer(f"errors{number}")) < router[1])[:, None]
            positions = _join([o.positions for o in out], easy)
            visibility = _join([o.visibility for o in out], easy).softmax(-1)
            labels = _join([o.labels for o in out], easy).softmax(-1)
        assert positions is not None and visibility is not None
        return positions, visibility

    def _run(
        self, net: nn.Module, pixels: Tensor, positions: Tensor | None, labels: Tensor | None
    ) -> Output:
        """One network of a stage on the estimate of the stage before."""
        assert isinstance(net, StageNet)
        x = net.embed(pixels, positions, labels if net.label_inputs else None)
        return net.read_out(x, positions)


def _join(values: list[Tensor], easy: Tensor | None) -> Tensor:
    """Mean over the networks, or the first one's where ``easy`` (B, 1) is true, else the second's."""
    if easy is None:
        return torch.stack(values).mean(0)
    return torch.where(easy if values[0].dim() == 2 else easy[..., None], *values)


class HeatmapNetwork(nn.Module):
    """GLE from crops to heatmaps whose confident peaks are near 1."""

    def __init__(self, predictor: GLEPredictor) -> None:
        super().__init__()
        self.model, self.predictor = predictor.model, predictor

    def forward(self, crops: Tensor) -> Tensor:
        """Compute from crops uint8 (B, H, W, 3) the heatmaps (B, n, H, W)."""
        return self.predictor.activate(self.model(normalize(crops.permute(0, 3, 1, 2).float() / 255)))


@dataclass(frozen=True)
class _Network:
    """A network to export, its description, and what torch computes from ``crops``."""

    module: nn.Module
    ports: Ports
    crops: Tensor
    expected: dict[str, Tensor]


def export_alignment(method: str, model: Path, out: Path, form: Format) -> ExportedAlignment:
    """Write the folder ``out``: the networks, ``model.json``, ``export.json``.

    The same model gives the same bytes: no time, path or host is written.

    Args:
        method: ``dfa`` or ``gle``.
        model: folder of the stages of DFA, or of a GLE model.
        out: folder that is replaced as a whole, and only if the networks equal torch in fp32. It must
            be new, or hold an earlier export of an alignment model.
        form: file format of the networks.

    Raises:
        FileNotFoundError: ``model`` holds no such model.
        ValueError: a network does not equal torch.
        OutputRefused: ``out`` holds something else.
    """
    check_folder(out, EXPORT, inputs=(model,))
    networks, spec = _gle(model) if method == GLE else _cascades(model)
    graph = AlignmentGraph.model_validate(
        {"method": method, "format": form, "networks": {k: n.ports for k, n in networks.items()}}
    )
    differences = {}
    with publish(out, EXPORT) as folder:
        for kind, network in networks.items():
            path = folder / f"{kind}{SUFFIX[form]}"
            _write(network, path, form)
            values = Session(path, form)(network.crops.numpy())
            differences[kind] = {
                name: check_parity(name, torch.from_numpy(value), network.expected[name], form)
                for name, value in zip(network.ports.outputs, values, strict=True)
            }
        (folder / SPEC).write_bytes(spec.read_bytes())
        (folder / GRAPH).write_text(graph.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return ExportedAlignment(out, graph, differences)


def _write(network: _Network, path: Path, form: Format) -> None:
    """Write a network as ONNX, or as OpenVINO's IR made from that."""
    names = (INPUT, list(network.ports.outputs))
    proto = to_onnx(network.module, network.crops[:2], names, "alignment", dynamic=True)
    if form == "onnx":
        onnx.save(proto, path)
        return
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch, "plain.onnx")
        onnx.save(proto, plain)
        ov.save_model(CORE.read_model(plain), path, compress_to_fp16=False)


def _cascades(model: Path) -> tuple[dict[str, _Network], Path]:
    """The networks of DFA by kind of garments, and the ``model.json`` of the export."""
    cascade = Cascade.load(model, CPU)
    networks = {}
    for kind, regressor in cascade.kinds.items():
        assert isinstance(regressor, Stages)
        stages = tuple(
            replace(stage, spec=stage.spec | {"precision": "fp32"}) for stage in regressor.stages
        )
        size, n = regressor.options["size"], stages[0].spec["landmarks"]
        crops = _noise(size, size)
        pixels = crops.permute(0, 3, 1, 2)
        found = Stages(stages).predict_pixels(lambda rows, p=pixels: p[rows], len(crops))
        outputs = {
            "positions": Port(
                dtype="float32",
                shape=("batch", n, 2),
                meaning="x, y of each landmark, -0.5 to 0.5 across the crop without its margin",
            ),
            "visibility": Port(
                dtype="float32",
                shape=("batch", n, 3),
                meaning="probabilities of visible, occluded, cut off",
            ),
        }
        ports = Ports(inputs={INPUT: _port(size, size)}, outputs=outputs)
        expected = dict(zip(outputs, map(torch.from_numpy, found), strict=True))
        networks[kind] = _Network(CascadeNetwork(stages).eval(), ports, crops, expected)
    kind = next(iter(networks))
    spec = model / NUMBERS[0] / kind / SPEC
    return networks, spec


def _gle(model: Path) -> tuple[dict[str, _Network], Path]:
    """The network of GLE, and the ``model.json`` of the export."""
    predictor = GLEPredictor.load(model, CPU)
    settings = {**predictor.spec["settings"], "precision": "fp32"}
    predictor = GLEPredictor(
        copy.deepcopy(predictor.model), {**predictor.spec, "settings": settings}, CPU
    )
    width, height = predictor.config.crop
    crops = _noise(width, height)
    with torch.inference_mode():
        heat = predictor.heatmaps(crops.permute(0, 3, 1, 2))
    outputs = {
        "heatmaps": Port(
            dtype="float32",
            shape=("batch", heat.shape[1], height, width),
            meaning="one map a landmark at the size of the crop, peaks near 1",
        )
    }
    ports = Ports(inputs={INPUT: _port(width, height)}, outputs=outputs)
    network = _Network(HeatmapNetwork(predictor).eval(), ports, crops, {"heatmaps": heat})
    return {"all": network}, model / SPEC


def _port(width: int, height: int) -> Port:
    """The input of a network."""
    return Port(
        dtype="uint8",
        shape=("batch", height, width, 3),
        meaning="RGB 0..255, cut around a garment's box as model.json says; black beyond the image",
    )


def _noise(width: int, height: int) -> Tensor:
    """Random crops uint8 (N, height, width, 3), the same every time."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (NOISE_CROPS, height, width, 3), np.uint8))


def as_text(exported: ExportedAlignment) -> str:
    """Format an export and its differences from torch."""
    graph = exported.graph
    lines = [f"{exported.folder}: {graph.method}, {graph.format} fp32, any number of crops at once"]
    for kind, differences in exported.differences.items():
        height, width = graph.networks[kind].inputs[INPUT].shape[1:3]
        off = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
        lines.append(f"  {kind}: {width}x{height} crops; largest difference from torch on noise: {off}")
    return "\n".join(lines)
