"""Every table from end to end on a small catalog: its rows, its columns, and that numbers are right."""

import shutil

import numpy as np
import pandas as pd
import pytest

from fashion_ops.inference.predictions import detect
from fashion_ops.methods.artifact import SPEC, save_model
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.describe import describe_detector
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.top_down.inference import build as build_landmarker
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import Params, PostProcess, TrainLandmarker
from fashion_ops.steps import aggregate
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES
from fashion_ops.workspace import Workspace
from papers.config import TableConfig
from papers.deepmark import paper, table1, table2, table4, table5, table6, table7
from papers.deepmark import refiners as deepmark_refiners
from papers.evaluation_set import load_evaluation_set


def aps(table, name):
    values = table.rows[name].astype(float)
    assert values.dropna().between(0, 1).all()
    return values


def test_table2(config_of, oracle, params, monkeypatch):
    monkeypatch.setattr(table2, "load_detector", lambda _: oracle)
    table = table2.run(config_of())
    assert list(table.rows.index) == list(paper.TABLE_2)
    assert len(aps(table, "AP_pt").unique()) > 4  # the rows differ
    assert 0.2 < table.rows.loc["baseline", "AP_pt"] < 0.95
    assert (table.rows["time, ms"] > 0).all()
    assert [p.column for p in table.paper] == ["AP_pt", "AP_box", "time, ms"]
    # One row without sharing the network's output, evaluated as in the step `evaluate`.
    evaluated = load_evaluation_set(config_of())
    off = dict.fromkeys(("smooth", "mask", "blend", "rescore", "flip"), False)
    alone = oracle.with_post(PostProcess(**off | {"mask": True}, nms="none"))
    most = params.evaluate.max_detections
    predictions = detect(DetectedBoxes(alone, evaluated.catalog.image), evaluated.images, most)
    row = table.rows.loc["technique 4"]
    assert row["AP_pt"] == evaluated.landmarks(predictions, most).stats["AP"]
    assert row["AP_box"] == evaluated.boxes(predictions).stats["AP"]


def test_table4_adds_up_and_ends_with_posefix_its_control_and_the_landmarkers_refiners(
    params, refiners, tmp_path, monkeypatch
):
    """Trains for two categories; a second run trains what is missing and prints the same."""
    ws = Workspace(tmp_path)
    for path in ("data/catalog", "models/detector", "models/refined"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).symlink_to(refiners.root / path)
    config = TableConfig(params, ws, images=8, epochs=1)
    aggregate.run(params, ws)
    spec = landmarker_spec(TrainLandmarker(backbone="hrnet_w8_tiny", crop=(32, 32)), "semantic62", 0)
    few = CATEGORIES[:2]
    for c in few:
        ws.finetuned(c.name).mkdir(parents=True)
        save_model(ws.finetuned(c.name), build_landmarker(spec), spec)
    monkeypatch.setattr(deepmark_refiners, "CATEGORIES", few)
    table = table4.run(config)
    rows = list(table.rows.index)
    assert rows == [*paper.TABLE_4, table4.WITHOUT_POSE, table4.LANDMARKERS]
    assert table.rows["AP_box"].iloc[-4:].nunique() == 1
    trained = sorted((ws.checkpoints / "deepmark-table4").glob("*/*/*"))
    assert [(f.parent.name, f.name) for f in trained] == [
        (kind, name) for kind in ("control", "pose") for name in sorted(c.name for c in few)
    ]
    takes = [table4.Refiner.load(f, CPU).spec["takes_pose"] for f in trained]
    assert takes == [False, False, True, True]
    shutil.rmtree(trained[0])  # this one alone is trained again, on the detections that were kept
    monkeypatch.setattr(deepmark_refiners, "detect_variants", None)
    pd.testing.assert_frame_equal(table4.run(config).rows, table.rows)
    assert {p.column for p in table.paper} == {"AP_pt"}  # the box half is scrambled
    assert [p.setting for p in table.paper] == ["512x512", "768x768"]


def test_table4_refines_each_garment_in_its_own_image(config_of, refiners):
    evaluated = load_evaluation_set(config_of(images=3))
    detector = Detector.load(refiners.detector, CPU)
    predictions = detect(DetectedBoxes(detector, evaluated.catalog.image), evaluated.images, 2)
    folders = {c.id: refiners.refined(c.name) for c in CATEGORIES}
    moved = table4.refine(folders, evaluated, predictions, CPU)
    for row in (0, len(predictions) - 1):
        garment = predictions.iloc[row]
        refiner = table4.Refiner.load(folders[int(garment["category_id"])], CPU)
        expected = refiner.refine_garments(
            evaluated.catalog.image,
            np.array([garment["image_id"]]),
            garment["box"][None],
            garment["landmarks"].reshape(1, -1, 3),
        )
        np.testing.assert_allclose(moved["landmarks"].iloc[row], expected.ravel(), atol=1e-2)
    assert moved["score"].equals(predictions["score"])


def test_table4_without_refiners_says_so(config_of, params, ws, tmp_path):
    for name in ("data", "models"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "catalog").symlink_to(ws.catalog)
    (tmp_path / "models" / "detector").symlink_to(ws.detector)
    config = config_of(images=4)
    elsewhere = type(config)(params, type(ws)(tmp_path), images=4)
    table = table4.run(elsewhere)
    assert "+ PoseFix" not in table.rows.index and len(table.rows) == 5
    for folder in ("refined", "finetuned"):
        assert any(f"models/{folder} lacks short_sleeve_top" in note for note in table.notes)


def test_table5(config_of, oracle, monkeypatch):
    for module in (table2, table5):
        monkeypatch.setattr(module, "load_detector", lambda _: oracle)
    table = table5.run(config_of())
    assert list(table.rows.index) == list(paper.TABLE_5)
    evaluated = load_evaluation_set(config_of())
    counts = table.rows["garments"]
    assert counts["overall"] == len(evaluated.garments)
    for column, word in (("scale", "scale"), ("zoom_in", "zoom-in"), ("viewpoint", "viewpoint")):
        levels = counts[[r for r in counts.index if r.startswith(f"{word}:")]]
        assert levels.tolist() == [(evaluated.garments[column] == k).sum() for k in (1, 2, 3)]
    empty = counts == 0
    assert table.rows.loc[empty, "AP_box"].isna().all()
    assert table.rows.loc[~empty, "AP_box"].notna().all()
    assert (table.rows.loc[~empty, "AP_box"] > 0.3).all()
    combined = table2.run(config_of()).rows.loc["combined"]
    overall = table.rows.loc["overall"]
    assert overall["AP_pt visible and occluded"] == combined["AP_pt"]
    assert overall["AP_box"] == combined["AP_box"]


def test_table5_where_the_source_says_nothing(config_of, ws, params, tmp_path):
    (tmp_path / "models").symlink_to(ws.detector.parent)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog").mkdir()
    for item in ws.catalog.iterdir():
        if item.name != "garments.parquet":
            (tmp_path / "data" / "catalog" / item.name).symlink_to(item)
    garments = pd.read_parquet(ws.catalog / "garments.parquet")
    garments["viewpoint"] = np.int8(0)
    garments.to_parquet(tmp_path / "data" / "catalog" / "garments.parquet")
    config = config_of(images=4)
    table = table5.run(type(config)(params, type(ws)(tmp_path), images=4))
    assert any("does not say viewpoint" in note for note in table.notes)
    assert table.rows.loc["viewpoint: frontal"].isna().sum() == 3


def test_table6_is_the_papers():
    table = table6.run(TableConfig(Params(), Workspace()))
    assert table.rows["network"].round(3).tolist() == [2.423, 9.691, 38.765]
    assert table.rows["total"].tolist() == pytest.approx([2.424, 9.696, 38.783], rel=2e-4)
    ours = describe_detector("mdla34", "semantic62", 256)["macs"] / 1e9
    assert table.rows.loc["256 x 256", "network, MACs of ours"] == ours
    # The smoothing alone, 75 maps of 64 x 64 cells by 9, is what the paper prints.
    smoothing = 75 * 64 * 64 * 9 / 1e9
    assert smoothing == pytest.approx(paper.TABLE_6[256][1], abs=5e-5)
    assert not any(table.mark(c) for c in table.columns)


def test_table7_names_what_is_missing(config_of, oracle, gaps, monkeypatch):
    never_trained, never_evaluated = gaps
    monkeypatch.setattr(table7, "load_detector", lambda _: oracle)
    table = table7.run(config_of())
    rows = table.rows
    assert list(rows.index) == [*CATEGORY_NAMES, "mean"]
    assert rows.loc[never_trained, "train"] == 0
    assert rows.loc[never_trained, "remark"] == "no training garments"
    assert rows.loc[never_evaluated, "remark"] == "no validation garments"
    assert np.isnan(rows.loc[never_evaluated, "AP_pt"]) and np.isnan(
        rows.loc[never_evaluated, "AP_box"]
    )
    evaluated = rows.iloc[:-1][["AP_pt", "AP_box"]].astype(float)
    assert evaluated.mean().tolist() == pytest.approx(rows.loc["mean", ["AP_pt", "AP_box"]].tolist())
    assert any(never_trained in note for note in table.notes)
    assert rows.loc[never_trained, "AP_box"] > 0.3
    assert table.rows.loc["mean", "validation"] == len(load_evaluation_set(config_of()).garments)


def test_table1_trains_once(config_of, monkeypatch):
    config = config_of(backbones=("tiny",), epochs=1, images=4)
    table = table1.run(config)
    assert list(table.rows.index) == ["tiny, 294", "tiny, 81", "tiny, 62"]
    parameters = table.rows["parameters, M"]
    expected = describe_detector("tiny", "semantic62", 96, head_width=16, neck_width=16)["parameters"]
    assert parameters["tiny, 62"] == pytest.approx(expected / 1e6)
    assert parameters["tiny, 294"] > parameters["tiny, 81"] > parameters["tiny, 62"]
    assert (table.rows["training, s"] > 0).all()
    monkeypatch.setattr(table1.train_detector, "run", lambda *_: pytest.fail("trained again"))
    again = table1.run(config)
    assert again.rows.equals(table.rows)


def test_table1_does_not_know_how_long_a_resumed_training_took(tmp_path, monkeypatch):
    ws, source = Workspace(tmp_path / "row"), Workspace(tmp_path)

    def trained(*_: object) -> None:
        ws.detector.mkdir(parents=True, exist_ok=True)
        (ws.detector / SPEC).touch()

    monkeypatch.setattr(table1.aggregate, "run", lambda *_: None)
    monkeypatch.setattr(table1.train_detector, "run", trained)
    ws.checkpoints.mkdir(parents=True)
    (ws.checkpoints / "train_detector-1.ckpt").touch()
    for _ in range(2):
        assert np.isnan(table1.train(Params(), source, ws))


def test_table1_knows_its_backbones(config_of):
    with pytest.raises(ValueError, match="mdla34"):
        table1.run(config_of(backbones=("vgg",)))
