"""Photo to FLD's landmarks: the detector's box and type, DFA or GLE in them, JSON and drawing."""

import json
import shutil
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.pyfunc.model import PythonModelContext
from safetensors.numpy import save_file
from typer.testing import CliRunner
from untrained_alignment import make_dfa, make_gle
from untrained_models import DETECTOR

import fashion_ops
from fashion_ops.cli import app
from fashion_ops.inference.alignment_predictor import AlignmentFolder, AlignmentPredictor
from fashion_ops.methods.alignment.dfa.cascade import Cascade
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.methods.centernet.inference import build as build_detector
from fashion_ops.methods.centernet.postprocess_file import write_postprocess
from fashion_ops.methods.detection.sources import ScoredBox
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import PostProcess
from fashion_ops.registry.pyfunc import GarmentLandmarks
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.taxonomy import CATEGORIES, category
from fashion_ops.taxonomy.alignment import POINT_SETS, type_of_category
from fashion_ops.workspace import Workspace

runner = CliRunner()


@pytest.fixture(scope="module")
def ws(tmp_path_factory) -> Workspace:
    """An untrained detector that finds something everywhere, DFA and GLE beside it, and two photos."""
    ws = Workspace(tmp_path_factory.mktemp("photos"))
    torch.manual_seed(0)
    detector = build_detector(DETECTOR)
    with torch.no_grad():
        detector.heads["wh"].out.bias.fill_(4.0)  # boxes of some size
        detector.heads["hm"].out.bias.fill_(0.0)  # scores of about a half
    ws.detector.mkdir(parents=True)
    save_model(ws.detector, detector, DETECTOR)
    ws.postprocess.mkdir()
    write_postprocess(ws.postprocess, PostProcess(flip=False))
    make_dfa(ws, {"all": 8})
    make_gle(ws.gle)
    ws.params.write_text("distributed: {device: cpu}\n")
    for number, shot in enumerate(plan(0, "validation", 2, 0.35)):
        (ws.root / f"{number}.jpg").write_bytes(encode(shot, 160)[0])
    return ws


@pytest.fixture
def here(ws, monkeypatch) -> Workspace:
    monkeypatch.chdir(ws.root)
    return ws


@dataclass
class Boxes:
    """A detector that finds a top, a skirt and a dress in every photo."""

    def detect(self, images, score_threshold=None):
        boxes = np.array([[10, 10, 70, 60], [15, 55, 60, 110], [5, 5, 80, 115]], np.float32)
        found = zip(boxes, (0.9, 0.8, 0.2), (1, 9, 12), strict=True)
        return [[ScoredBox(box, score, kind) for box, score, kind in found] for _ in images]


def test_every_category_has_the_type_of_its_clothes():
    types = {c.name: type_of_category(c.id) for c in CATEGORIES}
    assert {types[n] for n in ("sling", "long_sleeve_outwear", "vest")} == {1}
    assert {types[n] for n in ("shorts", "trousers", "skirt")} == {2}
    assert {types[n] for n in types if n.endswith("dress")} == {3}


@pytest.mark.parametrize("method", ["dfa", "gle"])
def test_landmarks_are_those_of_the_method_in_the_detector_s_boxes(ws, method):
    """Names by type, scores from 0 to 1, pixels of the whole photo; visibility from DFA alone."""
    folder = AlignmentFolder.find(ws.root / "models" / method)
    model = folder.load(CPU)
    predictor = AlignmentPredictor(Boxes(), model)
    pixels = np.random.default_rng(1).integers(0, 256, (120, 90, 3), np.uint8)
    top, skirt = predictor.predict(pixels, 0.3)  # the dress is below
    assert (top.category, top.clothes_type, skirt.clothes_type) == (
        "short_sleeve_top",
        "upper",
        "lower",
    )
    assert tuple(top.landmarks) == POINT_SETS["upper"].point_names
    assert tuple(skirt.landmarks) == POINT_SETS["lower"].point_names
    expected = model.predict_garments(
        lambda _: pixels, np.zeros(2, int), np.array([top.box, skirt.box]), np.array([1, 2])
    )
    for garment, prediction in zip((top, skirt), expected, strict=True):
        values = np.array(list(garment.landmarks.values()))
        np.testing.assert_allclose(values, prediction.landmarks, atol=1e-5)
        assert (values[:, 2] >= 0).all() and (values[:, 2] <= 1).all()
        named = garment.to_json()["landmarks"]
        states = {point.get("visibility") for point in named.values()}
        assert states <= ({"visible", "occluded", "cut off"} if method == "dfa" else {None})
    # A photo decoded at half its size: the same garment in pixels of the whole photo.
    reduced = Photo(pixels, (180, 240), 2, (0.5, 0.5))
    (half, _) = predictor.predict(reduced, 0.3)
    np.testing.assert_allclose(half.box, 2 * np.array(top.box) + 0.5)
    first = next(iter(top.landmarks))
    np.testing.assert_allclose(
        half.landmarks[first][:2], 2 * np.array(top.landmarks[first][:2]) + 0.5, atol=1e-3
    )


@pytest.mark.parametrize("method", ["dfa", "gle"])
def test_the_command_writes_json_and_a_drawing(here, method):
    arguments = ["predict", "0.jpg", "1.jpg", "--out", f"out-{method}", "--model", f"models/{method}"]
    done = runner.invoke(app, [*arguments, "--min-score", "0.1"])
    assert done.exit_code == 0, done.output
    written = json.loads((here.root / f"out-{method}" / "0.json").read_text())
    assert written["garments"]
    for garment in written["garments"]:
        kind = category(garment["category"])
        names = POINT_SETS[garment["clothes_type"]].point_names
        assert tuple(garment["landmarks"]) == names
        assert garment["clothes_type"] == ("upper", "lower", "full")[type_of_category(kind.id) - 1]
        assert all(("visibility" in p) == (method == "dfa") for p in garment["landmarks"].values())
    drawn = cv2.imread(str(here.root / f"out-{method}" / "0.png"))
    assert min(drawn.shape[:2]) >= 640
    model = fashion_ops.load(f"models/{method}", "cpu")
    again = [g.to_json() for g in model.predict("0.jpg", 0.1)]
    assert again == written["garments"]


def test_many_photos_have_type_and_visibility_in_their_table(here):
    arguments = ["predict", "0.jpg", "1.jpg", "--table", "table", "--model", "models/dfa"]
    done = runner.invoke(app, [*arguments, "--min-score", "0.1"])
    assert done.exit_code == 0, done.output
    rows = pd.read_parquet(here.root / "table/photos")["garments"]
    for garment in rows[0]:
        n = POINT_SETS[garment["clothes_type"]].num_points
        assert len(garment["landmarks"]) == 3 * n and len(garment["visibility"]) == n
    coco = runner.invoke(app, [*arguments, "--coco"])
    assert coco.exit_code == 2 and "leave out --coco" in coco.output


def test_an_export_finds_garments_by_the_exported_detector_beside_it(here):
    for name in ("dfa", "detector"):
        done = runner.invoke(app, ["export", name, "--format", "onnx"])
        assert done.exit_code == 0, done.output
        arguments = ["predict", "0.jpg", "--out", "exported", "--model", "exports/dfa-onnx"]
        predict = runner.invoke(app, [*arguments, "--runtime", "onnx", "--min-score", "0.1"])
        if name == "dfa":
            assert predict.exit_code == 2
            assert "no exported detector here" in predict.output
            assert "fashion-ops export detector --format onnx" in predict.output
    assert predict.exit_code == 0, predict.output
    runner.invoke(
        app, ["predict", "0.jpg", "--out", "whole", "--model", "models/dfa", "--min-score", "0.1"]
    )
    found, expected = (
        json.loads((here.root / folder / "0.json").read_text())["garments"]
        for folder in ("exported", "whole")
    )
    assert [g["category"] for g in found] == [g["category"] for g in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a["box"], b["box"], atol=0.1)
        assert a["landmarks"].keys() == b["landmarks"].keys()
    with_torch = runner.invoke(app, ["predict", "0.jpg", "--out", "x", "--model", "exports/dfa-onnx"])
    assert with_torch.exit_code == 2 and "use --runtime onnx or openvino" in with_torch.output
    plain = runner.invoke(
        app, ["predict", "0.jpg", "--out", "x", "--model", "models/gle", "--runtime", "onnx"]
    )
    assert plain.exit_code == 2 and "`fashion-ops export gle` makes one" in plain.output


def test_a_model_of_people_and_a_missing_type_are_named(here, tmp_path):
    make_dfa(Workspace(tmp_path), {"person": 14})
    with pytest.raises(ValueError, match="was trained on people's joints"):
        AlignmentFolder.find(tmp_path / "models/dfa").load(CPU)
    make_gle(tmp_path / "gle", points="lsp14")
    with pytest.raises(ValueError, match="was trained on people's joints"):
        AlignmentFolder.find(tmp_path / "gle").load(CPU)
    make_dfa(Workspace(tmp_path / "tops"), {"upper": 6})
    tops = AlignmentFolder.find(tmp_path / "tops/models/dfa")
    with pytest.raises(ValueError, match="has models for upper garments, none for lower ones"):
        AlignmentPredictor(Boxes(), tops.load(CPU)).predict(np.zeros((120, 90, 3), np.uint8))
    assert not (tmp_path / "tops/models/detector").exists()
    centers = tmp_path / "tops/models/dfa/3/upper/centers.safetensors"
    save_file({"other": np.zeros(3)}, centers)
    with pytest.raises(ValueError, match=r"3/upper/centers\.safetensors: has no array centers"):
        tops.load(CPU)
    shutil.rmtree(tmp_path / "tops/models/dfa/3")
    assert isinstance(tops.load(CPU), Cascade)  # its first stages are enough
    (tmp_path / "tops/models/dfa/2").rename(tmp_path / "tops/models/dfa/3")
    with pytest.raises(FileNotFoundError, match=r"models/dfa/2: is missing, and stage 3 goes on"):
        tops.load(CPU)
    (tmp_path / "tops/models/dfa/3").rename(tmp_path / "tops/models/dfa/2")
    borrowed = tops.with_detector_of(here.detector.parent)
    assert isinstance(AlignmentPredictor.load(borrowed, CPU), AlignmentPredictor)


def test_the_registered_model_serves_it(here, tmp_path):
    """The code that MLflow stores with a version, on a bundle as ``register_alignment`` makes one."""
    for part in ("detector", "postprocess", "gle"):
        shutil.copytree(here.root / "models" / part, tmp_path / part)
    served = GarmentLandmarks()

    context = PythonModelContext({"bundle": str(tmp_path)}, {"device": "cpu"})
    served.load_context(context)
    photo = (here.root / "0.jpg").read_bytes()
    answer = served.predict(context, pd.DataFrame({"image": [photo]}), {"min_score": 0.1})
    garments = json.loads(answer["garments"][0])
    assert garments and all("clothes_type" in g and len(g["landmarks"]) <= 8 for g in garments)
