"""The models in the package: found where no other are, started from, packed in half precision."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner
from untrained_models import DETECTOR

from bench.shipped.pack import save_half, separate
from bench.shipped.photos import MEASURED, divide, link
from fashion_ops import shipped
from fashion_ops.cli import app
from fashion_ops.inference.landmark_pipeline import LISTED, LandmarkPipeline
from fashion_ops.inference.openvino_pipeline import UNIVERSAL
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.artifact import WEIGHTS, save_model
from fashion_ops.methods.centernet.inference import build as build_detector
from fashion_ops.methods.centernet.postprocess_file import (
    MIN_SCORE,
    read_threshold,
    write_postprocess,
    write_threshold,
)
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.top_down.inference import build as build_landmarker
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import (
    check_trained_as,
    landmarker_spec,
    training_record,
    warm_start,
)
from fashion_ops.params import PostProcess, TrainLandmarker
from fashion_ops.registry.followed import FollowedModel
from fashion_ops.services import ServiceError
from fashion_ops.serving.champion import Champion, Follower, Loader, Served
from fashion_ops.serving.sources import find_source
from fashion_ops.shipped import model_folder, shipped_models
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan

TINY = TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64), precision="fp32")
LANDMARKER = landmarker_spec(TINY, "agg81", 0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A detector and a universal landmarker, untrained, and nothing for single categories."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("shipped") / "models"
    detector = build_detector(DETECTOR)
    with torch.no_grad():
        detector.heads["wh"].out.bias.fill_(4.0)  # boxes of some size
    for name, model, spec in (
        ("detector", detector, DETECTOR),
        ("landmarker", build_landmarker(LANDMARKER), LANDMARKER),
    ):
        (folder / name).mkdir(parents=True)
        save_model(folder / name, model, spec)
    (folder / "landmarker" / LISTED).write_text('{"variants": ["universal"]}')
    (folder / "postprocess").mkdir()
    write_postprocess(folder / "postprocess", PostProcess(flip=False))
    write_threshold(folder / "postprocess", 0.02, {})
    return folder


@pytest.fixture(scope="module")
def photo():
    """A drawn person, RGB uint8."""
    data, _, _ = encode(plan(0, "validation", 1, 0.35)[0], 128)
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].copy()


def test_a_bundle_that_lists_its_variants_predicts_the_best_of_them(bundle, photo):
    predictor = Predictor.load(bundle, CPU)
    assert predictor.pipeline.variants == ("universal",) and predictor.min_score == 0.02
    garments = predictor.predict(photo)
    assert garments and all(g.score >= 0.02 for g in garments)
    named = predictor.predict(photo, variant="universal")
    assert [g.to_json() for g in named] == [g.to_json() for g in garments]
    with pytest.raises(ValueError, match="variant 'refined': these models have universal landmarks"):
        predictor.predict(photo, variant="refined")


def test_without_the_list_a_missing_model_is_still_an_error(bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "models")
    (copy / "landmarker" / LISTED).write_text('{"variants": ["universal", "best"]}')
    with pytest.raises(ValueError, match=r"variants\.json: variants is .*'best'.*must list some of"):
        LandmarkPipeline.load(copy, CPU)
    (copy / "landmarker" / LISTED).unlink()
    with pytest.raises(FileNotFoundError, match=r"finetuned/short_sleeve_top: no model here"):
        LandmarkPipeline.load(copy, CPU)


def test_a_threshold_is_read_where_there_is_one(tmp_path):
    assert read_threshold(tmp_path) == MIN_SCORE == 0.3
    write_threshold(tmp_path, 0.41, {"images": 9})
    assert read_threshold(tmp_path) == 0.41
    for wrong in ("1.5", "true", '"high"'):
        (tmp_path / "threshold.json").write_text(f'{{"min_score": {wrong}}}')
        with pytest.raises(ValueError, match=r"threshold\.json: min_score is .*from 0 to 1"):
            read_threshold(tmp_path)
    (tmp_path / "threshold.json").unlink()
    (tmp_path / "threshold.json").mkdir()
    with pytest.raises((OSError, ValueError), match=r"threshold\.json"):
        read_threshold(tmp_path)


@pytest.fixture
def fresh(bundle, tmp_path, monkeypatch, photo):
    """A workspace right after `make env`: no registry, and the package has models."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FASHION_OPS_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setattr(shipped, "__file__", str(bundle.parent / "__init__.py"))
    cv2.imwrite("person.png", photo[..., ::-1])
    return tmp_path


def invoke(*words):
    done = CliRunner().invoke(app, [*words])
    return done.exit_code, done.stdout, done.stderr


def test_before_any_training_predict_and_measure_use_the_package(fresh):
    code, printed, told = invoke("predict", "person.png", "--out", "out")
    assert code == 0, told
    assert "no models:/garment-landmarks@champion yet: these are the models in the package" in told
    written = json.loads((fresh / "out" / "person.json").read_text())["garments"]
    assert written and f"{written[0]['category']} {written[0]['score']:.2f}" in printed
    assert not (fresh / ".mlflow").exists()  # asking made no registry
    code, _, told = invoke("predict", "person.png", "--out", "same", "--model", "shipped")
    assert code == 0 and "champion" not in told
    again = json.loads((fresh / "same" / "person.json").read_text())["garments"]
    assert again == written
    code, _, told = invoke("measure", "person.png", "--out", "sizes")
    assert code == 0 and "the models in the package" in told


def test_a_champion_by_name_is_not_replaced(fresh):
    code, _, told = invoke(
        "predict", "person.png", "--out", "o", "--model", "models:/garment-landmarks@champion"
    )
    assert code == 2 and "not in the registry" in told and "the package" not in told


def test_predict_says_what_lies_below_the_score(fresh):
    code, printed, _ = invoke("predict", "person.png", "--out", "out", "--min-score", "1")
    assert code == 0
    found = Predictor.load(shipped_models(), CPU).predict(
        cv2.imread("person.png")[..., ::-1].copy(), 0.0
    )[0]
    assert (
        f"no garment from score 1.00 on; the best, {found.category}, has {found.score:.2f} "
        f"(--min-score {int(found.score * 100) / 100:.2f} shows it)"
    ) in printed
    assert json.loads((fresh / "out" / "person.json").read_text())["garments"] == []


def test_the_service_starts_with_the_package_and_follows_the_champion(fresh):
    source = find_source(None, fresh / "state", Loader("torch", device="cpu"))
    assert isinstance(source, Follower) and source.fallback == shipped_models()
    source.follow_once()
    served = source.champion.served
    assert served is not None and served.version == 0 and source.champion.failure == ""
    source.follow_once()
    assert source.champion.served is served  # loaded once
    assert served.predictor.pipeline.variants == ("universal",)
    assert find_source("shipped", fresh / "state", Loader("torch")).folder == shipped_models()


def test_the_service_does_not_take_the_package_for_a_registry_that_is_down(fresh, monkeypatch):
    def down(model, root):
        raise ServiceError("MLflow does not answer")

    monkeypatch.setattr(FollowedModel, "number", down)
    source = find_source(None, fresh / "state", Loader("torch", device="cpu"))
    with pytest.raises(ServiceError):
        source.follow_once()
    assert source.champion.served is None


def test_an_alias_that_is_gone_is_told_while_its_version_serves_on(fresh):
    source = find_source(None, fresh / "state", Loader("torch", device="cpu"))
    predictor = Predictor.load(shipped_models(), CPU)
    served = Served("garment-landmarks", 3, predictor, "torch")
    source.champion = Champion(served)
    with pytest.raises(ValueError, match="champion"):
        source.follow_once()
    assert source.champion.served is served


@pytest.mark.usefixtures("openvino_in_fp32")
def test_in_openvino_the_package_finds_what_it_finds_in_torch(bundle, photo, tmp_path):
    exported = Loader("openvino").load(bundle, tmp_path / "networks")
    assert (tmp_path / "networks" / UNIVERSAL).is_file()
    expected = Predictor.load(bundle, CPU).predict(photo)
    found = exported.predict(photo)
    assert [g.category for g in found] == [g.category for g in expected]
    for one, other in zip(found, expected, strict=True):
        places = [np.array(list(g.landmarks.values()))[:, :2] for g in (one, other)]
        assert np.abs(places[0] - places[1]).max() < 0.5


def test_a_landmarker_starts_from_another_ones_tensors(bundle):
    config = TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64), start_from="shipped")
    model = Landmarker("hrnet_w8_tiny", 62)  # another grouping: the head stays fresh
    head = model.head.weight.detach().clone()
    start = warm_start(model, bundle / "landmarker")
    weights = load_file(bundle / "landmarker" / WEIGHTS)
    state = model.state_dict()
    assert start.fresh == ["head.bias", "head.weight"] and torch.equal(model.head.weight, head)
    assert all(torch.equal(state[n], t) for n, t in weights.items() if not n.startswith("head."))
    assert "start_from" not in training_record(config)  # model.json contains no path
    with pytest.raises(ValueError, match=r"train_landmarker\.start_from: .*shares no parameter"):
        warm_start(torch.nn.Linear(3, 2), bundle / "landmarker")


def test_a_landmarker_that_was_started_counts_as_trained_with_its_parameters(bundle, tmp_path):
    config = TrainLandmarker(backbone="hrnet_w8_tiny", start_from="x", freeze_backbone=True)
    spec = {**LANDMARKER, "training": training_record(config)}
    save_model(tmp_path, build_landmarker(LANDMARKER), spec)
    check_trained_as(tmp_path, config, "agg81")
    check_trained_as(tmp_path, config.model_copy(update={"start_from": "y"}), "agg81")
    with pytest.raises(ValueError, match=r"epochs 7 \(now 8\)"):
        check_trained_as(tmp_path, config.model_copy(update={"epochs": 8}), "agg81")


def test_shipped_names_the_packages_models_and_others_their_folder(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "__file__", str(bundle.parent / "__init__.py"))
    assert model_folder("shipped", "detector") == bundle / "detector"
    assert model_folder("models/detector", "detector", tmp_path) == tmp_path / "models/detector"
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="shipped models are missing; install fashion-ops"):
        model_folder("shipped", "detector")


def test_packed_weights_are_half_as_large_and_load_as_before(tmp_path):
    torch.manual_seed(0)
    model = build_landmarker(LANDMARKER)
    save_model(tmp_path, model, LANDMARKER)
    save_half(tmp_path / WEIGHTS, tmp_path / "half.safetensors")
    whole, half = ((tmp_path / name).stat().st_size for name in (WEIGHTS, "half.safetensors"))
    assert half < 0.65 * whole
    packed = load_file(tmp_path / "half.safetensors")
    assert packed["head.weight"].dtype == torch.float16 and packed["head.bias"].dtype == torch.float32
    other = build_landmarker(LANDMARKER)
    other.load_state_dict(packed)
    crops = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(other.eval()(crops), model.eval()(crops), rtol=0.02, atol=0.02)
    save_file({"large": torch.full((2, 2), 1e6)}, tmp_path / "large.safetensors")
    with pytest.raises(ValueError, match="large holds values that half precision cannot"):
        save_half(tmp_path / "large.safetensors", tmp_path / "half.safetensors")


def test_the_threshold_of_the_package_separates_clothes_from_hats_and_shoes():
    garments, empty = np.array([0.9, 0.8, 0.5, 0.2]), np.array([0.1, 0.3, 0.45, 0.0])
    score, found, left = separate(garments, empty)
    assert 0.45 < score < 0.5 and (found, left) == (0.75, 1.0)


def test_photos_for_measurements_are_kept_back(tmp_path):
    for name in ("hat", "shoes", "dress"):
        (tmp_path / "clothing" / name).mkdir(parents=True)
        for n in range(MEASURED + 12):
            (tmp_path / "clothing" / name / f"{n:03d}.jpg").write_bytes(b"")
    labelled = f"clothing/dress/{MEASURED + 1:03d}.jpg"
    (tmp_path / "landmarks.json").write_text(json.dumps([{"file": labelled}]))
    sets = divide(tmp_path)
    used = {*sets.backgrounds, *sets.fabrics}
    assert (len(sets.backgrounds), len(sets.empty), len(sets.fabrics)) == (16, 8, 11)
    assert not used & set(sets.empty) and tmp_path / labelled not in used
    assert all(int(path.stem) >= MEASURED for path in used)
    link(sets, tmp_path / "linked")
    assert len(list((tmp_path / "linked" / "backgrounds").iterdir())) == 16
    with pytest.raises(ValueError, match="needs more than 30 photos each in clothing"):
        divide(tmp_path / "linked")
