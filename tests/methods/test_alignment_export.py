"""DFA and GLE in ONNX Runtime and OpenVINO: what torch predicts, in standard files, or no folder."""

import json

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner
from untrained_alignment import GLE, make_dfa, make_gle

from fashion_ops.cli import app
from fashion_ops.files.outputs import OutputRefused, check_folder
from fashion_ops.methods.alignment import export
from fashion_ops.methods.alignment.dfa.cascade import Cascade
from fashion_ops.methods.alignment.exported import EXPORT, open_exported
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.parts.device import CPU
from fashion_ops.workspace import Workspace

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (3, 90, 80, 3), np.uint8)
IDS = np.array([0, 0, 1, 2, 2])
BOXES = np.array([[5, 5, 60, 70], [20, 8, 75, 88], [0, 0, 79, 89], [10, 30, 40, 80], [1, 2, 30, 33.0]])
TYPES = np.array([1, 2, 3, 1, 2])
runner = CliRunner()


@pytest.fixture(scope="module")
def ws(tmp_path_factory) -> Workspace:
    """A cascade for all types of clothes, and a GLE network trained with squared error."""
    ws = Workspace(tmp_path_factory.mktemp("export"))
    make_dfa(ws, {"all": 8})
    make_gle(ws.gle, GLE.model_copy(update={"loss": "mse"}))
    return ws


def predicted(method):
    return method.predict_garments(lambda i: PHOTOS[i], IDS, BOXES, TYPES)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.parametrize("method", ["dfa", "gle"])
def test_an_export_predicts_what_torch_does(ws, tmp_path, method, form):
    """Garments of all types at once, both branches of stage 3, in another number than traced."""
    folder = ws.root / "models" / method
    exported = export.export_alignment(method, folder, tmp_path / "out", form)
    assert max(v for d in exported.differences.values() for v in d.values()) < 1e-4
    check_folder(
        tmp_path / "out", EXPORT
    )  # a later export may replace it, until something else is there
    (tmp_path / "out/mine.onnx").write_text("mine")
    with pytest.raises(OutputRefused, match="exists"):
        check_folder(tmp_path / "out", EXPORT)
    (tmp_path / "out/mine.onnx").unlink()
    in_torch = (Cascade if method == "dfa" else GLEPredictor).load(folder, CPU)
    for expected, found in zip(
        predicted(in_torch), predicted(open_exported(tmp_path / "out", form)), strict=True
    ):
        assert found.states == expected.states
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=2e-2, rtol=1e-3)
    description = json.loads((tmp_path / "out/export.json").read_text())
    assert description["method"] == method and description["format"] == form
    assert set(description["networks"]) == {"all"}


def test_onnx_is_standard_and_tells_nothing_of_its_maker(ws, tmp_path):
    export.export_alignment("dfa", ws.dfa("1").parent, tmp_path / "a", "onnx")
    export.export_alignment("dfa", ws.dfa("1").parent, tmp_path / "b", "onnx")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    proto = onnx.load(tmp_path / "a" / "all.onnx")
    assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx"}
    assert not proto.metadata_props and proto.producer_name == "fashion-ops"


def test_a_network_that_differs_from_torch_is_not_written(ws, tmp_path, monkeypatch):
    joined = export._join
    monkeypatch.setattr(export, "_join", lambda values, easy: joined(values, easy) + 1e-2)
    with pytest.raises(ValueError, match=r"onnx: output 'positions' is .* off torch in fp32"):
        export.export_alignment("dfa", ws.dfa("1").parent, tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


def test_the_commands_and_their_mistakes(ws, tmp_path, monkeypatch):
    monkeypatch.chdir(ws.root)
    done = runner.invoke(app, ["export", "gle", "--out", str(tmp_path / "gle-onnx")])
    assert done.exit_code == 0, done.output
    assert "gle-onnx: gle, onnx fp32, any number of crops at once" in done.output
    assert "all: 32x32 crops; largest difference from torch on noise: heatmaps " in done.output
    with pytest.raises(ValueError, match="is an export for openvino, the runtime onnx can't read it"):
        export.export_alignment("gle", ws.gle, tmp_path / "gle-openvino", "openvino")
        open_exported(tmp_path / "gle-openvino", "onnx")
    with pytest.raises(
        FileNotFoundError, match="no exported alignment model here; `fashion-ops export"
    ):
        open_exported(ws.gle, "onnx")
    with pytest.raises(OutputRefused, match="contains the input"):
        export.export_alignment("gle", ws.gle, ws.gle.parent, "onnx")
    (tmp_path / "gle-onnx" / "all.onnx").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"all\.onnx: cannot be read as a network of onnx"):
        open_exported(tmp_path / "gle-onnx", "onnx")


def test_torch_is_compared_without_the_exported_graph(ws):
    """The expected values come from prediction itself, so that a graph of other stages would differ."""
    networks, _ = export._cascades(ws.dfa("1").parent)
    for network in networks.values():
        with torch.inference_mode():
            found = network.module(network.crops)
        for value, expected in zip(found, network.expected.values(), strict=True):
            torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
