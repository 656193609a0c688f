"""``distributed.device`` reaches every network: who loads one must say where, and one file chooses."""

import ast
import inspect
from pathlib import Path

import pytest
import torch
from mlflow.pyfunc.model import PythonModelContext

import fashion_ops
from fashion_ops.inference.alignment_predictor import AlignmentPredictor
from fashion_ops.inference.edge import EdgePredictor
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.alignment.dfa.cascade import Cascade
from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.artifact import load_model
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.registry.pyfunc import GarmentLandmarks

ROOT = Path(fashion_ops.__file__).parent.parent
LOADERS = (
    AlignmentPredictor,
    BoxDetector,
    Cascade,
    Detector,
    EdgePredictor,
    GLEPredictor,
    LandmarkPipeline,
    LandmarkPredictor,
    Predictor,
    Refiner,
    TrainedStage,
)
# Choosing a device, or asking for a GPU, is theirs; others are told.
CHOOSERS = {
    "fashion_ops/methods/parts/device.py",
    "fashion_ops/methods/parts/precision.py",  # which number format its hardware computes
    "fashion_ops/methods/parts/hardware.py",  # names it in a record
    "fashion_ops/distributed/payload.py",  # how many GPUs Ray gave to this process
    "papers/subprocess_measure.py",  # names the hardware in a table
    "papers/deepmark/workloads.py",  # waits for the GPU, to time it
}


def sources(*words):
    """Name and syntax tree of every file that contains one of these words."""
    for package in ("fashion_ops", "papers", "pipelines", "bench"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if any(word in text for word in words):
                yield path.relative_to(ROOT).as_posix(), ast.parse(text)


def loads_without_device(tree):
    """Line numbers of the calls that load a network and don't say where it shall run."""
    positions = {f"{c.__name__}.load": 1 + (c is EdgePredictor) for c in LOADERS}
    positions |= {"fashion_ops.load": 1, "load_model": 3, "cls.load": 1}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            position = positions.get(ast.unparse(node.func))
            named = any(k.arg == "device" for k in node.keywords)
            if position is not None and len(node.args) <= position and not named:
                yield node.lineno


def asks_for_a_gpu(tree):
    """Line numbers of code that asks torch for a GPU, or names one, by itself."""
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Call) else ""
        if text.startswith("torch.cuda.") or text.endswith((".cuda()", "torch.device('cuda')")):
            yield node.lineno
        chosen = isinstance(node, ast.keyword) and node.arg in ("accelerator", "device") and node.value
        if isinstance(chosen, ast.Constant) and chosen.value in ("auto", "cuda", "gpu"):
            yield node.lineno


@pytest.mark.parametrize("loader", LOADERS, ids=lambda c: c.__name__)
def test_a_loader_can_not_be_called_without_a_device(loader):
    device = inspect.signature(loader.load).parameters["device"]
    if loader is not Predictor:  # the code of registered versions calls it so: auto
        assert device.default is inspect.Parameter.empty
    assert inspect.signature(load_model).parameters["device"].default is inspect.Parameter.empty


def test_every_load_names_a_device():
    missing = {
        f"{name}:{line}" for name, tree in sources("load") for line in loads_without_device(tree)
    }
    assert not missing


def test_only_one_file_chooses_a_device():
    found = {name for name, tree in sources("cuda", "auto", "gpu") if any(asks_for_a_gpu(tree))}
    assert {name for name in found if not name.startswith("bench/")} <= CHOOSERS


@pytest.mark.parametrize(
    "line",
    [
        "Detector.load(folder, post=post)",
        "Predictor.load(bundle)",
        "load_model(folder, METHOD, build)",
        "fashion_ops.load(model)",
    ],
)
def test_a_forgotten_device_is_found(line):
    assert list(loads_without_device(ast.parse(line))) == [1]
    assert not list(loads_without_device(ast.parse(line[:-1] + ", device=device)")))


@pytest.mark.parametrize(
    "line", ["torch.cuda.is_available()", "model.cuda()", "torch.device('cuda')", "f(device='cuda')"]
)
def test_an_own_choice_is_found(line):
    assert 1 in asks_for_a_gpu(ast.parse(line))


@pytest.mark.parametrize(
    ("config", "there", "expected"),
    [
        ({"device": "cpu"}, True, "cpu"),
        ({"device": "auto"}, False, "cpu"),
        (None, True, "cuda"),
    ],
)
def test_a_served_model_runs_where_its_config_says(config, there, expected, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(Predictor, "load", lambda bundle, device: seen.append(device.type))
    GarmentLandmarks().load_context(PythonModelContext({"bundle": "models"}, config))
    assert seen == [expected]


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device cuda: .* sees no GPU; set .*device to auto"):
        fashion_ops.load("models", "cuda")
    with pytest.raises(ValueError, match=r"device 'gpu': must be auto, cpu or cuda"):
        select_device("gpu")
