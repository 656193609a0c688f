"""Exported landmarkers of every head: their outputs are torch's, and decode to the same landmarks."""

import json

import numpy as np
import onnx
import pytest
import torch

from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.top_down import export
from fashion_ops.methods.top_down.decode import decode, decode_classes
from fashion_ops.methods.top_down.export import LandmarkerGraph, export_landmarker, run_graph
from fashion_ops.methods.top_down.inference import LandmarkPredictor, build
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import TrainLandmarker
from fashion_ops.taxonomy import category

CROP = (64, 96)
CROPS = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (5, 3, 96, 64), np.uint8))
NETWORKS = (
    ("hrnet_w8_tiny", "heatmap", "onnx"),
    ("hrnet_w8_tiny", "simcc", "openvino"),
    ("hrnet_w8_tiny", "rle", "onnx"),
    ("vit_w32_tiny", "heatmap", "openvino"),
    ("vit_w32_tiny", "simcc", "onnx"),
    ("vit_w32_tiny", "rle", "openvino"),
)


def save_landmarker(folder, backbone, head):
    """Random weights, with outputs that are no constant."""
    torch.manual_seed(0)
    config = TrainLandmarker(backbone=backbone, head=head, crop=CROP, precision="fp32")
    spec = landmarker_spec(config, "skirt", 0)
    model = build(spec)
    with torch.no_grad():
        for p in model.head.parameters():
            p.normal_(std=0.3 if head != "heatmap" else 1.0)
    folder.mkdir(parents=True)
    save_model(folder, model, spec)
    return folder


@pytest.mark.parametrize(("backbone", "head", "form"), NETWORKS)
def test_an_exported_landmarker_is_torchs(tmp_path, backbone, head, form):
    """Within 1e-4 on crops it was not compared with; decoded it gives the predictor's landmarks."""
    folder = save_landmarker(tmp_path / "model", backbone, head)
    exported = export_landmarker(folder, tmp_path / "out", form)
    assert max(exported.differences.values()) < (1e-4 if head != "rle" else 1e-4 * 96)  # of pixels
    graph = LandmarkerGraph.read(exported.folder)
    network = exported.folder / export.NETWORK[form]
    outputs = run_graph(network, graph, CROPS.permute(0, 2, 3, 1).contiguous().numpy())
    for name, port in graph.outputs.items():
        assert tuple(outputs[name].shape[1:]) == port.shape[1:]
    predictor = LandmarkPredictor.load(folder, CPU).with_decoding(flip_test=False)
    expected = predictor.predict_channels_and_stds(CROPS, np.full(5, 9))[..., :3]
    if head == "heatmap":
        found = decode(outputs["heatmaps"], CROP, predictor.decoding)
    elif head == "simcc":
        found = decode_classes(torch.cat([outputs["x"], outputs["y"]], -1), CROP)
        expected = predictor.predict_channels_and_stds(CROPS, np.full(5, 9))
    else:
        found, expected = outputs["points"], expected[..., :2]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)
    if form == "onnx":
        proto = onnx.load(network)
        assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx"} and not proto.functions


def test_the_same_landmarker_gives_the_same_onnx_files(tmp_path):
    folder = save_landmarker(tmp_path / "model", "vit_w32_tiny", "rle")
    once, again = (export_landmarker(folder, tmp_path / name, "onnx").folder for name in "ab")
    assert sorted(p.name for p in once.iterdir()) == ["export.json", "model.json", "network.onnx"]
    for file in once.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


@pytest.mark.usefixtures("openvino_in_fp32")
@pytest.mark.parametrize(("backbone", "head"), [("vit_w32_tiny", "simcc"), ("hrnet_w8_tiny", "rle")])
def test_the_services_networks_in_openvino_predict_alike(tmp_path, backbone, head):
    """The path of the service: the network alone, decoded in torch, with the flip test."""
    from fashion_ops.inference.openvino_networks import OpenvinoLandmarker, OpenvinoModule
    from fashion_ops.inference.openvino_pipeline import write_landmarker

    predictor = LandmarkPredictor.load(save_landmarker(tmp_path / "model", backbone, head), CPU)
    write_landmarker(predictor, category(9), tmp_path / "net.xml")
    network = {"model": OpenvinoModule(tmp_path / "net.xml", 1), "device": CPU}
    served = OpenvinoLandmarker(**{**vars(predictor), **network})
    ids = np.full(5, 9)
    found, expected = (np.stack(p.predict_own(CROPS, ids)) for p in (served, predictor))
    np.testing.assert_allclose(found[..., :2], expected[..., :2], atol=0.05)


def test_a_network_unlike_torch_is_not_exported(tmp_path, monkeypatch):
    folder = save_landmarker(tmp_path / "model", "vit_w32_tiny", "rle")
    real = export.run_graph
    monkeypatch.setattr(export, "run_graph", lambda *a: {k: v + 0.1 for k, v in real(*a).items()})
    with pytest.raises(ValueError, match=r"onnx: output 'points' is 0.1 off torch in fp32"):
        export_landmarker(folder, tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


def test_the_command_takes_the_landmarker_of_a_category(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from fashion_ops.cli import app

    monkeypatch.chdir(tmp_path)
    save_landmarker(tmp_path / "models/finetuned/skirt", "vit_w32_tiny", "rle")
    result = CliRunner().invoke(app, ["export", "landmarker", "--category", "skirt"])
    assert result.exit_code == 0, result.output
    assert "head rle, any number of 64x96 crops" in result.output
    graph = json.loads((tmp_path / "exports/landmarker-skirt-onnx/export.json").read_text())
    assert list(graph["outputs"]) == ["points", "std"]
    again = CliRunner().invoke(
        app, ["export", "landmarker", "--model", "models/finetuned/skirt", "--category", "vest"]
    )
    assert again.exit_code == 2 and "is one model" in again.output
