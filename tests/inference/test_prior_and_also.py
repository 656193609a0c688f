"""The shape prior in the pipeline and in what it writes, and further catalogs beside the main one."""

import json
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from untrained_models import make_catalog, make_models, tiny_params

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.splits import read_whole
from fashion_ops.catalog.training_data import held_out, load_garments, used_grouping
from fashion_ops.inference.bulk.results import PhotoResult, part_bytes
from fashion_ops.inference.landmark_pipeline import VARIANTS, LandmarkPipeline
from fashion_ops.inference.predictor import Garment
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.methods.detection.sources import ScoredBox
from fashion_ops.methods.parts import shape_fit
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.shape_fit import fit_shape_priors
from fashion_ops.methods.parts.shape_prior import apply_priors, save_priors
from fashion_ops.steps import evaluate
from fashion_ops.taxonomy import category
from fashion_ops.workspace import Workspace


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    ws = Workspace(tmp_path_factory.mktemp("prior"))
    params = tiny_params(ws)
    make_catalog(params, ws)
    make_models(params, ws)
    return ws


@pytest.fixture(scope="module")
def priors(ws):
    _, train = load_garments(ws, "train")
    labels = train.category_id, train.boxes, train.landmarks
    assert fit_shape_priors(used_grouping(ws), *labels) == {}  # too few garments
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape_fit, "LEAST_GARMENTS", 1)
        return fit_shape_priors(used_grouping(ws), *labels)


def garments_of(catalog, count):
    rows = catalog.garments.head(count)
    ids, kinds = rows["image_id"].to_numpy(), rows["category_id"].to_numpy(np.int64)
    return ids, np.stack(rows["box"].to_list()), kinds


def test_a_pipeline_corrects_each_variant_whose_model_has_priors(ws, priors):
    plain, catalog = LandmarkPipeline.load(ws.root / "models", CPU), Catalog(ws.catalog)
    universal = replace(
        plain.universal, priors=priors, spec={**plain.universal.spec, "decode_prior": True}
    )
    garments = garments_of(catalog, 6)
    before = plain.predict(catalog.image, *garments, detected=False)
    pipeline = replace(plain, universal=universal)
    after = pipeline.predict(catalog.image, *garments, detected=False)
    for variant in ("finetuned", "refined"):  # without priors: the same bits
        for a, b in zip(before[variant].landmarks, after[variant].landmarks, strict=True):
            assert np.array_equal(a, b)
        assert not any(map(len, after[variant].deviations))
    assert np.array_equal(before["universal"].scores, after["universal"].scores)
    poses, boxes = before["universal"].landmarks, garments[1]
    scales = 1 / universal.matrices(boxes)[:, 0, 0]
    stds = [universal.landmark_stds(p) * s for p, s in zip(poses, scales, strict=True)]
    expected = apply_priors(priors, poses, stds, boxes, garments[2], detected=False)
    found = after["universal"]
    for pose, spread, a, b in zip(found.landmarks, found.deviations, *expected, strict=True):
        np.testing.assert_allclose(pose, a, atol=1e-3)
        np.testing.assert_allclose(spread, b, rtol=1e-4)
        assert (spread > 0).all()
    inexact = pipeline.predict(catalog.image, *garments, ("universal",))["universal"]
    assert all((a != b).any() for a, b in zip(inexact.landmarks, found.landmarks, strict=True))
    off = replace(plain, universal=universal.with_decoding(decode_prior=False))
    again = off.predict(catalog.image, *garments, ("universal",), detected=False)["universal"]
    assert all(np.array_equal(a, b) for a, b in zip(again.landmarks, poses, strict=True))


def test_a_garment_carries_its_deviations_into_json_and_parquet():
    skirt = category("skirt")
    detection = ScoredBox(np.array([1.0, 2.0, 50.0, 60.0], np.float32), 0.9, skirt.id)
    landmarks = np.ones((skirt.num_landmarks, 3), np.float32)
    spread = np.arange(1, skirt.num_landmarks + 1, dtype=np.float32)
    photo = Photo(np.zeros((40, 30, 3), np.uint8), (120, 160), 4, (1.5, 1.5))
    garment = Garment.of(detection, landmarks, photo, spread)
    assert list(garment.deviations.values()) == (4 * spread).tolist()
    first = garment.to_json()["landmarks"][skirt.landmark_names[0]]
    assert first == {"x": 5.5, "y": 5.5, "score": 1.0, "deviation": 4.0}
    plain = Garment.of(detection, landmarks)
    assert plain.to_json()["landmarks"][skirt.landmark_names[0]] == {"x": 1.0, "y": 1.0, "score": 1.0}
    part = part_bytes(1, ["a.jpg"], [PhotoResult([garment, plain], (120, 160))])
    rows = pq.read_table(BytesIO(part))["garments"].to_pylist()[0]
    assert rows[0]["deviations"] == (4 * spread).tolist() and rows[1]["deviations"] == []


def test_evaluate_judges_further_catalogs_and_reports_them_first(ws, priors):
    """A copy of the main catalog has the main numbers; models with priors write deviations."""
    shutil.copytree(ws.catalog, ws.also / "shop")
    spec = json.loads((ws.landmarker / "model.json").read_text())
    spec = spec | {"decode_prior": True, "training": spec["training"] | {"held_out": 0.5}}
    (ws.landmarker / "model.json").write_text(json.dumps(spec))
    save_priors(ws.landmarker, priors)
    params = tiny_params(ws, evaluate={"also": ["shop"]})
    returned = evaluate.run(params, ws)
    shop = ws.evaluation / "also" / "shop"
    for name in ("metrics.json", "predictions/truth_boxes/universal.parquet"):
        assert (shop / name).read_bytes() == (ws.evaluation / name).read_bytes()
    assert returned["AP refined, shop"] == returned["AP refined"]
    table = pd.read_parquet(shop / "predictions/truth_boxes/universal.parquet")
    kinds = table["category_id"].tolist()
    counts = [category(c).num_landmarks if c in priors else 0 for c in kinds]
    assert [len(d) for d in table["deviations"]] == counts and sum(counts)
    failures = pd.read_csv(shop / "failures.csv")
    assert len(failures) == len(table) and len(list((shop / "pictures").iterdir())) == 1
    report = (ws.evaluation / "report.html").read_text()
    places = [report.index(f"<h1>{title}</h1>") for title in ("On shop", "Garment landmarks")]
    assert places == sorted(places) and report.index("Failures on shop") < places[1]
    main, other = (
        json.loads((folder / "reliability.json").read_text()) for folder in (ws.evaluation, shop)
    )
    garments = Catalog(ws.catalog).garments
    train = garments.loc[garments["split"] == "train", "image_id"].to_numpy()
    assert 0 < main["held_out"] == held_out(train, 0.5).sum() < len(train) and other["held_out"] == 0
    for variant in VARIANTS:
        assert main[variant]["bins"] == other[variant]["bins"]
        assert main[variant]["temperature"] > 0 and other[variant]["temperature"] is None
    assert "Reliability of the scores" in report and f"fits {main['held_out']:,} training" in report
    with pytest.raises(FileNotFoundError, match=r"also names 'nowhere', but there is no catalog here"):
        evaluate.run(tiny_params(ws, evaluate={"also": ["nowhere"]}), ws)


def test_a_catalog_of_another_single_split_is_judged_whole(ws, tmp_path):
    folder = tmp_path / "catalog"
    shutil.copytree(ws.catalog, folder)
    garments = pd.read_parquet(folder / "garments.parquet")
    with pytest.raises(ValueError, match=r"no garments in split 'test'.*garments are in: train, valid"):
        read_whole(folder, "test")
    for name in ("images", "garments"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        table.assign(split="train").to_parquet(folder / f"{name}.parquet", index=False)
    assert len(read_whole(folder, "validation").garments) == len(garments)
