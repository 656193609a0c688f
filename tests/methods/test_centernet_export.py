"""Exported detectors against torch: the maps, the garments, the operators, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from fashion_ops.inference.openvino_networks import OpenvinoDetector, OpenvinoMaps
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.backbones.by_name import BACKBONES
from fashion_ops.methods.centernet.backbones.dla import Deformable
from fashion_ops.methods.centernet.decode import decode_fixed, grouping_slots
from fashion_ops.methods.centernet.deploy import export
from fashion_ops.methods.centernet.deploy.export import export_detector
from fashion_ops.methods.centernet.deploy.graph import ExportConfig
from fashion_ops.methods.centernet.deploy.quantize import last_convolutions
from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import load_grouping

SIZE = 64
POST = PostProcess(flip=False)
IMAGES = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8))
FITTED = IMAGES.permute(0, 3, 1, 2)
FORMATS = ("onnx", "openvino")


def save_detector(folder, backbone="tiny"):
    """Random weights, with centre heatmaps that have clear peaks."""
    torch.manual_seed(0)
    grouping = "semantic62"
    net = CenterNet(backbone, load_grouping(grouping).num_groups, 16, 16)
    with torch.no_grad():
        for stack in net.modules():
            if isinstance(stack, torch.nn.Conv2d) and stack.out_channels == 13:
                stack.weight *= 20
    spec = {
        "method": "centernet",
        "grouping": grouping,
        "backbone": backbone,
        "neck_width": 16,
        "head_width": 16,
        "input_size": SIZE,
        "score_threshold": 0.05,
        "precision": "fp32",
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, net, spec)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return save_detector(tmp_path_factory.mktemp("models") / "detector")


def test_maps_of_a_lite_backbone_equal_torchs(tmp_path):
    folder = save_detector(tmp_path / "lite", "tf_efficientnet_lite0")
    exported = export_detector(folder, tmp_path / "onnx", ExportConfig("onnx", "fp32"), POST, CPU, None)
    assert max(exported.fp32.values()) < 1e-3
    served = ExportedDetector.open(exported.folder, "onnx")
    expected = Detector.load(folder, CPU).network(FITTED[:1])
    for name, value in served.network(FITTED[:1]).items():
        assert torch.allclose(value, expected[name], rtol=1e-3, atol=1e-3), name


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """Exports by their settings, each made once; read only."""
    root = tmp_path_factory.mktemp("exports")
    known = {}

    def make(form, precision="fp32", garments=False, dynamic_batch=False):
        key = (form, precision, garments, dynamic_batch)
        if key not in known:
            calibration = IMAGES.numpy() if precision == "int8" else None
            out = root / "-".join(map(str, key))
            known[key] = export_detector(trained, out, ExportConfig(*key), POST, CPU, calibration)
        return known[key]

    return make


@pytest.mark.parametrize(("form", "runtime"), [*zip(FORMATS, FORMATS, strict=True), FORMATS])
def test_maps_equal_torch_for_one_and_three_images(form, runtime, trained, made):
    exported = made(form, dynamic_batch=True)
    served = ExportedDetector.open(exported.folder, runtime)
    torch_maps = Detector.load(trained, CPU).network
    for images in (FITTED[:1], FITTED):
        ours, theirs = served.network(images), torch_maps(images)
        assert list(ours) == list(theirs) == list(exported.graph.outputs)
        for name, value in theirs.items():
            assert torch.allclose(ours[name], value, rtol=1e-4, atol=1e-4), name
            declared = exported.graph.outputs[name].shape
            assert tuple(value.shape) == (len(images), *declared[1:])
    assert max(exported.fp32.values()) < 1e-3 and exported.served.keys() == exported.fp32.keys()


@pytest.mark.parametrize("form", FORMATS)
def test_a_decoding_graph_finds_what_torch_finds(form, trained, made):
    exported = made(form, garments=True, dynamic_batch=True)
    served = ExportedDetector.open(exported.folder, form)
    detector = Detector.load(trained, CPU, post=POST)
    maps = detector.network(FITTED)
    wanted = decode_fixed(maps, grouping_slots(detector.grouping), POST, export.TOP)
    for ours, theirs in zip(served.network(FITTED).values(), wanted, strict=True):
        assert torch.allclose(ours.double(), theirs.double(), rtol=1e-4, atol=1e-3)
    images = list(IMAGES.numpy())
    threshold = float(wanted[1].median())
    found = served.detect(images, threshold)
    assert sum(map(len, found)) > 3
    for ours, theirs in zip(found, detector.detect(images, threshold), strict=True):
        assert [d.category_id for d in ours] == [d.category_id for d in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-4)
            assert np.abs(a.box - b.box).max() < 0.01
            assert np.abs(a.landmarks - b.landmarks).max() < 0.01


@pytest.mark.usefixtures("openvino_in_fp32")
def test_images_and_mirror_images_on_streams_give_the_garments_of_torch(trained, made):
    post = POST.model_copy(update={"flip": True})
    folder = made("openvino", dynamic_batch=True).folder
    graph = ExportedDetector.open(folder, "openvino").graph
    detector = Detector.load(trained, CPU, post=post)
    maps = OpenvinoMaps(folder / "network.xml", list(graph.outputs), 2)
    served = OpenvinoDetector(maps, detector.spec, post, graph=graph)
    images = list(IMAGES.numpy())
    found, expected = served.detect(images, 0.1), detector.detect(images, 0.1)
    assert sum(map(len, expected)) > 3
    for ours, theirs in zip(found, expected, strict=True):
        assert [d.category_id for d in ours] == [d.category_id for d in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-4)
            assert np.abs(a.box - b.box).max() < 0.01
    (alone,) = served.detect(images[:1], 0.1)
    assert [d.score for d in alone] == pytest.approx([d.score for d in found[0]], abs=1e-5)


def test_onnx_holds_standard_operators_and_no_traces(trained, made, tmp_path):
    once = made("onnx", garments=True, dynamic_batch=True).folder
    again = export_detector(
        trained,
        tmp_path / "out",
        ExportConfig("onnx", "fp32", True, True),
        POST,
        CPU,
    ).folder
    folders = [once, again]
    files = [sorted(p.name for p in folder.iterdir()) for folder in folders]
    assert files[0] == ["export.json", "model.json", "network.onnx", "postprocess.json"]
    for name in files[0]:
        data = (folders[0] / name).read_bytes()
        assert data == (folders[1] / name).read_bytes()
        assert b".py" not in data and once.name.encode() not in data
    network = onnx.load(folders[0] / "network.onnx")
    assert {node.domain for node in network.graph.node} <= {"", "ai.onnx"} and not network.functions
    assert [o.domain for o in network.opset_import] == [""]


def test_a_static_graph_takes_one_image_of_its_size(made):
    served = ExportedDetector.open(made("onnx").folder, "onnx")
    with pytest.raises(ValueError, match=r"takes 1 image at a time, got 3; .*--dynamic-batch"):
        served.network(FITTED)
    with pytest.raises(ValueError, match=r"takes images \(3, 64, 64\), got \(3, 96, 64\)"):
        served.network(torch.zeros(1, 3, 96, 64, dtype=torch.uint8))
    assert len(served.detect(list(IMAGES.numpy()))) == 3


def test_int8_is_close_and_leaves_the_last_layers(trained, made, tmp_path):
    full, small = made("onnx").folder / "network.onnx", made("onnx", "int8")
    exact = Detector.load(trained, CPU).network(FITTED[:1])
    for runtime in FORMATS:
        ours = ExportedDetector.open(small.folder, runtime).network(FITTED[:1])
        for name, value in exact.items():
            assert 0 < float((ours[name] - value).abs().max()) < 0.1 * float(value.abs().max()), name
    kinds = [node.op_type for node in onnx.load(small.folder / "network.onnx").graph.node]
    assert "QuantizeLinear" in kinds
    last = set(last_convolutions(onnx.load(full)))
    weights = {n.input[1] for n in onnx.load(full).graph.node if n.name in last}
    assert len(last) == 6 and all("out.weight" in name for name in weights)
    with pytest.raises(ValueError, match="at least one calibration image, got none"):
        export_detector(trained, tmp_path / "none", ExportConfig("onnx", "int8"), POST, CPU)


def test_bf16_is_reported_and_half_the_size(trained, made, tmp_path):
    full, half = made("openvino", dynamic_batch=True), made("openvino", "bf16")
    sizes = [(e.folder / "network.bin").stat().st_size for e in (full, half)]
    assert sizes[1] < 0.6 * sizes[0]
    assert full.served["hps"] < 1e-4 < half.served["hps"]
    with pytest.raises(ValueError, match="no bf16 convolutions"):
        export_detector(trained, tmp_path / "out", ExportConfig("onnx", "bf16"), POST, CPU)


def test_a_network_unlike_torch_is_not_exported(trained, made, tmp_path, monkeypatch):
    out = tmp_path / "exports" / "out"
    shutil.copytree(made("onnx").folder, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    eager = export._eager
    monkeypatch.setattr(export, "_eager", lambda *a: tuple(x + 1e-3 for x in eager(*a)))
    with pytest.raises(ValueError, match=r"output 'hm' is 0.001 off torch in fp32 .*not exported"):
        export_detector(trained, out, ExportConfig("onnx"), POST, CPU)
    with pytest.raises(ValueError, match="not exported"):
        export_detector(trained, tmp_path / "exports" / "other", ExportConfig("openvino"), POST, CPU)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_deformable_convolutions_go_to_onnx_only(tmp_path, monkeypatch):
    tiny = BACKBONES["tiny"]

    def build(name, pretrained, width):
        trunk, neck = tiny.build("tiny", pretrained, width)
        neck.out = torch.nn.Sequential(neck.out, Deformable(width, width))
        return trunk, neck

    monkeypatch.setitem(BACKBONES, "tiny_dcn", replace(tiny, build=build))
    folder = save_detector(tmp_path / "detector", "tiny_dcn")
    exported = export_detector(folder, tmp_path / "onnx", ExportConfig("onnx"), POST, CPU)
    network = onnx.load(exported.folder / "network.onnx")
    assert [n.domain for n in network.graph.node if n.op_type == "DeformConv"] == [""]
    with pytest.raises(ValueError, match="OpenVINO can't read from ONNX; train the backbone mdla34"):
        export_detector(folder, tmp_path / "openvino", ExportConfig("openvino"), POST, CPU)


def test_folders_that_do_not_fit_are_refused(trained, made, tmp_path):
    with pytest.raises(FileNotFoundError, match="no exported detector here"):
        ExportedDetector.open(trained, "onnx")
    out = tmp_path / "out"
    shutil.copytree(made("openvino", garments=True, dynamic_batch=True).folder, out)
    with pytest.raises(ValueError, match="is an export for openvino, the runtime onnx can't read it"):
        ExportedDetector.open(out, "onnx")
    with pytest.raises(ValueError, match="flip True"):
        ExportedDetector.open(out, "openvino", PostProcess())
    with pytest.raises(ValueError, match="sees an image once: flip is True"):
        export_detector(trained, tmp_path / "flip", ExportConfig(decode=True), PostProcess(), CPU)
    graph = json.loads((out / "export.json").read_text())
    (out / "export.json").write_text(json.dumps({**graph, "batch": 2}))
    with pytest.raises(ValueError, match=r"export.json: batch: .*got 2"):
        ExportedDetector.open(out, "openvino")
    (out / "export.json").write_text(json.dumps(graph))
    (out / "network.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"network\.xml: missing"):
        ExportedDetector.open(out, "openvino")
