"""Tables of GLE, PCLoss, attributes and retrieval on small synthetic alignment data: their contents."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_alignment import read_in, write_alignment_data

from fashion_ops.evaluation.normalized_error import ne
from fashion_ops.methods.alignment.gle.training import train_gle
from fashion_ops.params import GLEConfig, Params, read_yaml
from fashion_ops.workspace import Workspace
from papers import alignment
from papers.alignment import distances, duplicates, load_fld, outliers
from papers.applications import attributes, figure7, localisations, perceptron, retrieval
from papers.config import TableConfig
from papers.gle import table1
from papers.pcloss import models
from papers.write import write_table

SETTINGS = "backbone: tiny\ncrop: [32, 32]\nepochs: 1\nbatch_size: 8\nprecision: fp32\n"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> TableConfig:
    """A config on catalogs of the four benchmarks of garments; tiny settings."""
    root = tmp_path_factory.mktemp("aligned")
    ws = Workspace(root)
    twin = write_alignment_data(root / "twin", items=8)
    for source in ("fld", "category_attribute", "in_shop", "consumer_to_shop"):
        read_in(source, twin / source, ws.alignment_catalog / source)
    (root / "gle.yaml").write_text(SETTINGS, encoding="utf-8")
    return TableConfig(Params(), ws, seeds=(0,), training_config=root / "gle.yaml")


def test_gle_table_is_what_training_and_judging_give(aligned, monkeypatch):
    """Column by column; the paper's average is the mean of its eight landmarks."""
    monkeypatch.setattr(
        table1, "VARIANTS", {"k = 0": {"modules": 0}, "k = 3": {"modules": 3}, "k = 2": {}}
    )
    table = table1.run(aligned)
    data = load_fld(aligned)
    settings = read_yaml(GLEConfig, aligned.training_config).model_copy(update={"modules": 3})
    model = train_gle(settings, data.train, data.catalog.image, seed=0)
    predicted = model.predict(data.catalog.image, data.test.image_id, data.test.box)
    score = ne(distances(predicted[..., :2], data.test), data.test.visibility == 2)
    np.testing.assert_allclose(table.rows["k = 3"].iloc[:8], score.per_point, rtol=1e-4)
    assert table.rows.loc["Avg.", "k = 3"] == pytest.approx(score.macro, rel=1e-4)
    size = data.test.box[:, None, 2:] - data.test.box[:, None, :2]
    off = np.linalg.norm((predicted[..., :2] - data.test.xy) / size, axis=-1)
    in_box = ne(off, data.test.visibility == 2).macro
    assert table.rows.loc[table1.STRETCHED, "k = 3"] == pytest.approx(in_box, rel=1e-4)
    assert in_box > 1.05 * score.macro  # garments are higher than wide
    ours = {p.column: p for p in table.paper}
    assert ours["k = 3"].values["left collar"] == 0.0386
    for theirs in ours.values():
        eight = [v for name, v in theirs.values.items() if name != "Avg."]
        assert np.mean(eight) == pytest.approx(theirs.values["Avg."], abs=1e-4)
    assert any("below k = 0 in" in note for note in table.notes)
    assert "synthetic FLD" in table.ours and not table.same_data


def test_pcloss_table(aligned, monkeypatch):
    """Both models without and with; the loss reaches both trainings, and nothing else changes."""
    small = {"backbone": "tiny", "input_size": 32, "epochs": 1, "batch_size": 8, "precision": "fp32"}
    params = Params.model_validate({"dfa_stage": small})
    on = {"position_constraint": 5.0, "position_constraint_k": 2}
    variants = {"without": {}, "off": {"position_constraint": 0.0}, "parts": on}
    monkeypatch.setattr(models, "variants", lambda weight: variants)
    table = models.run(replace(aligned, params=params))
    rows = [f"{m}, {w}" for m in ("regression", "heatmap") for w in variants]
    assert list(table.rows.index) == [alignment.MEAN, alignment.MEAN_OF_TYPE, *rows]
    for model in ("regression", "heatmap"):
        without, off, parts = (table.rows.loc[f"{model}, {variant}", "NE"] for variant in variants)
        assert without == off and without != parts and 0 < parts < 2
    assert sum("seeds than without" in note for note in table.notes) == 4
    monkeypatch.setattr(models, "variants", lambda weight: {"without": {}})
    half = models.run(replace(aligned, params=params, rows=("regression",))).rows
    assert list(half.index) == [alignment.MEAN, alignment.MEAN_OF_TYPE, "regression, without"]
    assert half["NE"].iloc[-1] == table.rows.loc["regression, without", "NE"]


def test_a_schedule_in_steps_is_shortened_with_the_run(aligned, monkeypatch, tmp_path):
    """`--config configs/gle/fld.yaml --epochs 2`: three steps of 30 epochs, in a run of two."""
    config = tmp_path / "steps.yaml"
    config.write_text(
        SETTINGS.replace("epochs: 1", "epochs: 6\nlr: 0.004\nlr_steps: [[2, 0.004], [4, 0.0004]]")
    )
    monkeypatch.setattr(table1, "VARIANTS", {"k = 0": {"modules": 0}, "k = 1": {"modules": 1}})
    table = table1.run(replace(aligned, training_config=config, epochs=3))
    assert table.rows[["k = 0", "k = 1"]].notna().all(axis=None)
    settings = read_yaml(GLEConfig, config)
    assert settings.with_epochs(3).lr_steps == ((1, 0.004), (2, 0.0004))
    assert settings.with_epochs(1).lr_steps == ((1, 0.0004),)  # less than half an epoch falls away


def test_mean_shapes_stand_beside_the_networks(aligned):
    """The shape of a type is closer than that of all; both are drawn into the boxes of the images."""
    data = load_fld(aligned)
    shapes = alignment.mean_shapes(data.train, data.train)
    overall, of_type = (
        ne(distances(shapes[name], data.train), data.train.visibility == 2).macro
        for name in (alignment.MEAN, alignment.MEAN_OF_TYPE)
    )
    assert 0 < of_type < overall < 1
    upper = data.train.clothes_type == 1
    assert np.ptp(distances(shapes[alignment.MEAN_OF_TYPE], data.train)[upper]) > 0
    assert alignment.half_interval([1.0, 2.0, 3.0]) == pytest.approx(4.303 / 3**0.5)


def test_outliers_and_duplicates_by_hand(aligned):
    data = load_fld(aligned)
    test = data.test.take(np.flatnonzero(data.test.observed.sum(1) >= 2)[:1])
    box = np.array([[0.0, 0.0, 100.0, 50.0]])
    xy = np.zeros((1, 8, 2))
    xy[0, 0], xy[0, 1], xy[0, 2] = (10, 10), (60, 10), (60, 14)
    mask = np.zeros((1, 8), bool)
    mask[0, :3] = True
    test = replace(test, box=box, xy=xy, visibility=2 * mask.astype(np.int8))
    predicted = xy.copy()
    predicted[0, 0] = 57, 13  # 47.1 of 100 away, and within 5 of both others, which lie together anyway
    distance = distances(predicted, test)
    side = np.hypot(47, 3) / distance[0, 0]
    assert side == pytest.approx(100, abs=1.01) and (distance[0, 1:3] == 0).all()
    assert outliers(distance, mask) == pytest.approx(100 / 3)
    assert duplicates(predicted, test, mask) == 100.0 and duplicates(xy, test, mask) == 0.0


@pytest.fixture(scope="module")
def localiser(aligned):
    return localisations.train_localiser(aligned, 0)


def test_features_need_no_annotation_but_the_box(aligned, localiser):
    """Another clothing type, other landmarks: the same features, zeros included."""
    catalog = alignment.open_source(aligned, "category_attribute")
    points = catalog.points("test")
    other = replace(
        points,
        clothes_type=points.clothes_type % 3 + 1,
        present=~points.present,
        visibility=2 - points.visibility,
        xy=np.zeros_like(points.xy),
    )
    features, again = (localiser.features(catalog, p) for p in (points, other))
    for row in localisations.ROWS:
        np.testing.assert_array_equal(features[row], again[row])


def test_presence_is_learnt_from_the_box(aligned, localiser):
    """On the garments that it was trained on it says which landmarks they show, far above chance."""
    data = load_fld(aligned)
    boxes = localisations.garment_boxes(data.train.box, localisations.SIZE)
    features = localisations.extract(localiser.backbone, data.catalog.image, data.train.image_id, boxes)
    predicted, observed = localiser.presence.predict(features), data.train.observed
    assert 0 < observed.mean() < 1 and (predicted == observed).mean() > 0.9


def test_attributes_table(aligned, localiser, monkeypatch):
    """Four rows; recall of labels given away as features is perfect, of noise it is near chance."""
    monkeypatch.setattr(attributes, "train_localiser", lambda *_: localiser)
    monkeypatch.setattr(perceptron, "STEPS", 40)
    table = attributes.run(replace(aligned, seeds=(0, 1)))
    interval = table.rows["± top-5 recall"]
    assert (interval >= 0).all() and interval.max() > 0
    assert any("`fashion landmarks` no worse than `bbox`: top-5 recall in" in n for n in table.notes)
    assert list(table.rows.index) == list(localisations.ROWS)
    assert (
        (table.rows[["top-5 recall", "micro"]] >= 0) & (table.rows[["top-5 recall", "micro"]] <= 1)
    ).all(axis=None)
    assert table.paper[0].values["fashion landmarks"] == 0.73

    class Oracle:
        name = "an oracle"

        def features(self, catalog, points):
            given = attributes.labels(catalog, points).astype(np.float32)
            noise = np.random.default_rng(0).normal(size=given.shape).astype(np.float32)
            return {row: given if row == "fashion landmarks" else noise for row in localisations.ROWS}

    monkeypatch.setattr(attributes, "train_localiser", lambda *_: Oracle())
    rows = attributes.run(aligned).rows["micro"]
    assert rows["fashion landmarks"] > rows["bbox"] + 0.2


def test_retrieval_table(aligned, localiser, monkeypatch):
    monkeypatch.setattr(retrieval, "train_localiser", lambda *_: localiser)
    table = retrieval.run(aligned)
    assert (table.rows["hit@1"] <= table.rows["hit@5"]).all()
    assert (table.rows["hit@20"] == 1).all()  # the gallery has six images
    queries, gallery = retrieval.in_shop(alignment.open_source(aligned, "in_shop"))
    assert len(queries) == 4 and len(gallery) == 8
    assert set(queries.item_id) == set(gallery.item_id)
    assert not set(queries.image_id) & set(gallery.image_id)
    assert (table.rows["In-shop hit@1"] <= table.rows["In-shop hit@5"]).all()
    assert (table.rows["In-shop hit@20"] == 1).all()
    assert "4 queries, 8 images of 4 items to find, In-shop" in table.ours
    queries, shop = retrieval.consumer_to_shop(alignment.open_source(aligned, "consumer_to_shop"))
    assert set(queries.item_id) == set(shop.item_id) and not set(queries.image_id) & set(shop.image_id)
    assert len(queries) == 2 * len(set(shop.item_id)) and len(shop) == 3 * len(set(shop.item_id))
    assert retrieval._chance(6, 3, 1) == pytest.approx(0.5)
    assert retrieval._chance(6, 3, 2) == pytest.approx(1 - 3 / 6 * 2 / 5)


def test_figure_7_joins_both_by_one_pair_of_networks(aligned, localiser, monkeypatch, tmp_path):
    """Its numbers are those of its two tables; the networks are trained once, for `epochs`."""
    lengths = []

    def trained(config, points, read_image, *, landmarks="fld8", seed, options):
        lengths.append(config.epochs)
        return localiser.landmarks if landmarks == "fld8" else localiser.joints

    monkeypatch.setattr(localisations, "train_gle", trained)
    monkeypatch.setattr(perceptron, "STEPS", 20)
    table = figure7.run(replace(aligned, epochs=3))
    assert lengths == [3, 3]
    saved = localisations.train_localiser(replace(aligned, epochs=3), 0)
    assert lengths == [3, 3]  # read from disk
    recall = attributes.run(aligned, lambda _: saved).rows
    hits = retrieval.run(aligned, lambda _: saved).rows
    assert table.rows.index.tolist() == list(localisations.ROWS)
    np.testing.assert_allclose(table.rows[hits.columns], hits)
    np.testing.assert_allclose(table.rows["top-5 recall"], recall["top-5 recall"])
    assert {c.column for c in table.paper} == {"top-5 recall", "hit@20"}
    for path in write_table(table, tmp_path, "command"):
        assert path.stat().st_size > 500


def test_places_and_features(aligned, localiser):
    """As many features as places, zeros where a type has no such landmark, images read in full."""
    catalog = alignment.open_source(aligned, "category_attribute")
    points = catalog.points("test")
    features = localiser.features(catalog, points)
    width = features["bbox"].shape[1]
    assert width == 3 + 16 + 16 + 16  # colours and three resolutions
    assert features["fashion landmarks"].shape == (len(points), 8 * width)
    assert features["human joints"].shape == (len(points), 14 * width)
    parts = features["fashion landmarks"].reshape(len(points), 8, width)
    assert np.array_equal((parts != 0).any(2), localiser.presence.predict(features["bbox"]))
    image = catalog.image(int(points.image_id[0]))
    red = (image[..., 0].mean() / 255 - 0.485) / 0.229
    assert image.shape[0] >= image.shape[1]  # black on both sides of an upright image
    share = image.shape[1] / image.shape[0]
    expected = red * share + (1 - share) * (0 - 0.485) / 0.229
    assert features["full image"][0, 0] == pytest.approx(expected, abs=0.05)


def test_joints_take_the_place_of_landmarks(aligned):
    data = load_fld(aligned)
    joints = localisations.joints_of(data.catalog, data.train)
    assert 0 < len(joints) <= len(data.train) and joints.xy.shape[1:] == (14, 2)
    assert set(joints.garment_id) <= set(data.train.garment_id)
    table: pd.DataFrame = data.catalog.garments.set_index("garment_id")
    first = np.asarray(table.loc[joints.garment_id[0], "joints"]).reshape(14, 3)
    np.testing.assert_allclose(joints.xy[0], first[:, :2])


def test_a_missing_catalog_says_what_makes_it(aligned, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"fld: no catalog here; `fashion-ops ingest_alignment`"
    ):
        alignment.load_fld(replace(aligned, ws=Workspace(tmp_path)))
