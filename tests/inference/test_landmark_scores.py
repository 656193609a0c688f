"""Scores over a category's or all channels, ensembles, OKS-NMS: by hand and through ``evaluate``."""

import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from untrained_models import make_catalog, make_models, tiny_params

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.oks_nms import oks_nms
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline, ScoredLandmarks, average
from fashion_ops.inference.predictions import predictions_table
from fashion_ops.inference.reproduction import reproduce_evaluation
from fashion_ops.methods.parts.blocks import LocalRunner
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.top_down.decode import pose_score
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.params import PostProcess, TunePostprocess
from fashion_ops.steps import evaluate, refine, tune_postprocess
from fashion_ops.taxonomy import CATEGORY_NAMES, category
from fashion_ops.workspace import Workspace


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    ws = Workspace(tmp_path_factory.mktemp("scores"))
    params = tiny_params(ws)
    make_catalog(params, ws)
    make_models(params, ws)
    return ws


def test_peaks_that_are_too_low_do_not_count():
    assert pose_score(np.array([[0, 0, 0.1], [0, 0, 0.3], [0, 0, 0.5]])) == pytest.approx(0.4)
    assert pose_score(np.zeros((3, 3))) == 0


def test_a_refiner_with_a_pose_box_is_given_a_crop_of_its_own(ws):
    pipeline, catalog = LandmarkPipeline.load(ws.root / "models", CPU), Catalog(ws.catalog)
    rows = catalog.garments.iloc[:3]
    garments = (
        rows["image_id"].to_numpy(),
        np.stack(rows["box"].to_list()),
        rows["category_id"].to_numpy(np.int64),
    )
    plain = pipeline.predict(catalog.image, *garments)
    pose = {c: replace(r, spec={**r.spec, "box": "pose"}) for c, r in pipeline.refined.items()}
    own = replace(pipeline, refined=pose).predict(catalog.image, *garments)
    for n, c in enumerate(garments[2].tolist()):
        assert np.array_equal(own["finetuned"].landmarks[n], plain["finetuned"].landmarks[n])
        assert not np.array_equal(own["refined"].landmarks[n], plain["refined"].landmarks[n])
        one = own["finetuned"].landmarks[n][None]
        expected = pose[c].refine_garments(catalog.image, garments[0][n : n + 1], one[:, :2, :2], one)
        np.testing.assert_allclose(own["refined"].landmarks[n], expected[0], atol=1e-3)


def test_an_ensemble_is_the_mean():
    one = ScoredLandmarks([np.array([[0.0, 2.0, 0.5]])], np.array([0.2]), [np.array([1.0])])
    two = ScoredLandmarks([np.array([[4.0, 4.0, 0.7]])], np.array([0.6]), [np.array([3.0])])
    mean = average([one, two])
    assert mean.deviations[0].tolist() == [2]
    assert len(average([one, two._replace(deviations=[np.zeros(0)])]).deviations[0]) == 0
    np.testing.assert_allclose(mean.landmarks[0], [[2, 3, 0.6]])
    assert mean.scores.tolist() == [pytest.approx(0.4)]


def skirts(shifts, scores, image=1, kind=9):
    n = category(kind).num_landmarks
    pose = np.linspace(0, 100, 3 * n).reshape(n, 3)
    return [
        (image, -1, kind, s, [0, 0, 100, 100], (pose + np.array([d, 0, 0])).ravel())
        for d, s in zip(shifts, scores, strict=True)
    ]


def test_oks_nms_by_hand():
    """OKS of a pose moved by d: the mean of exp(-d^2 / (2 area (2 sigma)^2))."""
    sigmas = category("skirt").sigmas
    oks = [np.exp(-(d**2) / (2 * 100 * 100 * (2 * sigmas) ** 2)).mean() for d in (1, 2)]
    assert oks[1] < 0.98 < oks[0]
    table = predictions_table(
        [*skirts([0, 1, 3], [0.5, 0.9, 0.7]), *skirts([0], [0.1], 2), *skirts([0], [0.1], 1, 7)]
    )
    kept = oks_nms(table, 0.98)
    assert kept["score"].tolist() == pytest.approx([0.9, 0.7, 0.1, 0.1])  # 0 goes, 2 apart stays
    assert len(oks_nms(table, 0.999)) == len(oks_nms(table, None)) == 5
    assert oks_nms(table.head(0), 0.9).empty


def test_a_removed_pose_removes_no_other():
    table = predictions_table(skirts([0, 1, 2], [0.9, 0.8, 0.7]))
    assert oks_nms(table, 0.98)["score"].tolist() == pytest.approx([0.9, 0.7])


def test_all_channels_give_another_score_than_the_own_ones(ws):
    pipeline = LandmarkPipeline.load(ws.landmarker.parent, CPU, variants=("universal",))
    catalog = Catalog(ws.catalog)
    rows = catalog.garments.head(4)
    garments = (
        catalog.image,
        rows["image_id"].to_numpy(),
        np.stack(rows["box"].to_list()),
        rows["category_id"].to_numpy(np.int64),
    )
    model = pipeline.universal
    peaks = model.predict_channels_and_stds(_crops(model, *garments), garments[3])
    peaks[..., 2] = np.linspace(0.1, 0.9, 81)
    pipeline.universal.predict_channels_and_stds = lambda *_: peaks  # type: ignore[method-assign]
    of_category = pipeline.predict(*garments, ("universal",), "own")["universal"]
    every = pipeline.predict(*garments, ("universal",), "all")["universal"]
    assert every.scores == pytest.approx(np.full(4, pose_score(peaks[0])))
    for score, pose in zip(of_category.scores, of_category.landmarks, strict=True):
        assert score == pytest.approx(pose_score(pose)) != pytest.approx(every.scores[0])


def _crops(model, read_image, image_ids, boxes, _):
    from fashion_ops.methods.parts.crops import cut_crops

    return cut_crops(read_image, image_ids, model.matrices(boxes), model.crop)


@pytest.fixture
def moved(monkeypatch):
    """Where networks were moved to. ``cpu:0`` computes like ``cpu`` and is another device, so that a
    network that was not told stands out."""
    settings, devices, move = [], [], torch.nn.Module.to

    def select(setting):
        settings.append(setting)
        return torch.device("cpu", 0)

    def to(module, device, *args, **options):
        devices.append(str(device))
        return move(module, device, *args, **options)

    for name, module in list(sys.modules.items()):
        if name.startswith("fashion_ops.") and hasattr(module, "select_device"):
            monkeypatch.setattr(module, "select_device", select)
    monkeypatch.setattr(torch.nn.Module, "to", to)
    yield devices
    assert set(devices) == {"cpu:0"} and set(settings) == {"auto"}


def test_evaluate_with_all_of_it(ws, tmp_path, moved):
    """An ensemble with itself is itself; a bundle still reproduces what was evaluated, with NMS.

    Every network runs where ``distributed.device`` says.
    """
    shutil.copytree(ws.landmarker.parent, ws.root / "again" / "models")
    switches = {"score": "all", "oks_nms": 0.5, "ensemble": ["again/models"], "images": 0}
    params = tiny_params(ws, evaluate=switches)
    evaluate.run(params, ws)
    metrics = json.loads((ws.evaluation / "metrics.json").read_text())["landmark_ap"]
    assert metrics["ensemble"] == metrics["finetuned"]
    folder = ws.evaluation / "predictions" / "truth_boxes"
    one, two = (pd.read_parquet(folder / f"{name}.parquet") for name in ("finetuned", "ensemble"))
    pd.testing.assert_frame_equal(one, two)
    categories = len(CATEGORY_NAMES)
    assert len(moved) == 1 + (1 + 2 * categories) + (1 + categories)
    reproduction = reproduce_evaluation(
        ws.landmarker.parent, params, ws, partial(LocalRunner, device=params.distributed.device)
    )
    assert reproduction.exact and reproduction.failures(params.promote) == {}
    assert len(moved) == 1 + (1 + 2 * categories) + (1 + categories) + 1 + (1 + 2 * categories)


def test_the_search_runs_its_detector_where_the_setting_says(ws, moved):
    params = tiny_params(ws).model_copy(
        update={"tune_postprocess": TunePostprocess(images=2, step=0.5, start=PostProcess())}
    )
    tune_postprocess.run(params, ws)
    assert len(moved) == 1


def test_a_refiner_starts_from_poses_that_are_predicted_where_the_setting_says(ws, monkeypatch):
    devices = []
    load = LandmarkPredictor.load
    monkeypatch.setattr(refine, "select_device", lambda setting: torch.device("cpu", 0))

    def spy(folder, device):
        devices.append(device)
        return load(folder, device)

    monkeypatch.setattr(refine.LandmarkPredictor, "load", spy)
    job = refine.prepare(tiny_params(ws), ws, "skirt")
    refine.work(replace(job, garments=job.garments.take(np.zeros(0, int))))
    assert list(map(str, devices)) == ["cpu:0"]
