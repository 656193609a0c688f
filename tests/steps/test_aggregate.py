"""The aggregate and pseudo_label steps on a small catalog with all 13 categories."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from fashion_ops.catalog import schemas
from fashion_ops.params import Aggregate, Ingest, Params, PseudoLabel
from fashion_ops.steps import aggregate, ingest, pseudo_label
from fashion_ops.taxonomy import CATEGORIES, category, load_grouping
from fashion_ops.workspace import Workspace

EACH = 9


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace with EACH garments a category, the last of each in the validation split."""
    ws = Workspace(tmp_path_factory.mktemp("ws"))
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for kind in ("image", "annos"):
            (ws.raw / split / kind).mkdir(parents=True)
    for number in range(EACH * len(CATEGORIES)):
        own = CATEGORIES[number % len(CATEGORIES)]
        split = "train" if number < (EACH - 1) * len(CATEGORIES) else "validation"
        points = np.column_stack(
            [
                rng.integers(5, 95, (own.num_landmarks, 2)),
                rng.choice(3, own.num_landmarks, p=(0.2, 0.3, 0.5)),
            ]
        )
        if number < len(CATEGORIES):
            points[:] = 0  # one garment a category without any label
        points[points[:, 2] == 0] = 0
        item = {
            "category_id": own.id,
            "bounding_box": [5, 5, 95, 95],
            "landmarks": points.ravel().tolist(),
        }
        stem = f"{number + 1:06d}"
        (ws.raw / split / "annos" / f"{stem}.json").write_text(
            json.dumps({"source": "user", "item1": item})
        )
        cv2.imwrite(
            str(ws.raw / split / "image" / f"{stem}.jpg"), np.full((100, 100, 3), number, np.uint8)
        )
    ingest.run(Params(ingest=Ingest(max_quarantined=0)), ws)
    return ws


def tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", ["agg81", "semantic62", "none"])
def test_grouped_landmarks_ungroup_to_the_originals(made, name):
    metrics = aggregate.run(Params(aggregate=Aggregate(grouping=name)), made)
    grouping = load_grouping(name)
    assert metrics["garments"] == EACH * len(CATEGORIES)
    assert metrics["groups"] == grouping.num_groups
    garments = pd.read_parquet(made.catalog / "garments.parquet")
    grouped = schemas.GROUPED.validate(pd.read_parquet(made.grouped / "garments.parquet"))
    assert grouped["garment_id"].tolist() == garments["garment_id"].tolist()
    for garment, row in zip(garments.itertuples(), grouped["landmarks"], strict=True):
        slots = row.reshape(grouping.num_groups, 3)
        own = garment.landmarks.reshape(-1, 3)
        np.testing.assert_array_equal(grouping.ungroup(int(garment.category_id), slots), own)
        assert (slots[:, 2] > 0).sum() == garment.num_labelled
    content = json.loads((made.grouped / "grouping.json").read_text())
    assert content == {"name": name, "num_groups": grouping.num_groups}


def test_group_counts_are_those_of_the_garments(made):
    metrics = aggregate.run(Params(), made)
    groups = pd.read_parquet(made.grouped / "groups.parquet")
    garments = pd.read_parquet(made.catalog / "garments.parquet")
    assert groups["labelled"].sum() == garments["num_labelled"].sum()
    visible = sum((g.reshape(-1, 3)[:, 2] == 2).sum() for g in garments["landmarks"])
    assert groups["visible"].sum() == visible
    assert metrics["unseen_groups"] == 0
    assert sum(map(len, groups["members"])) == 294
    # Group 70 of agg81 (here counted from 0) is the crotch, which shorts and trousers have.
    crotch = groups.loc[69]
    assert list(crotch["members"]) == ["shorts.crotch", "trousers.crotch"]
    assert crotch["garments"] == 2 * EACH
    place = {c: category(c).landmark_names.index("crotch") for c in ("shorts", "trousers")}
    own = [
        g.landmarks.reshape(-1, 3)[place[CATEGORIES[g.category_id - 1].name], 2] > 0
        for g in garments.itertuples()
        if CATEGORIES[g.category_id - 1].name in place
    ]
    assert crotch["labelled"] == sum(own)


def test_small_row_groups_change_nothing(made, monkeypatch):
    aggregate.run(Params(), made)
    whole = pd.read_parquet(made.grouped / "garments.parquet")
    monkeypatch.setattr("fashion_ops.catalog.tables.ROW_GROUP", 10)
    aggregate.run(Params(), made)
    assert whole.astype(str).equals(pd.read_parquet(made.grouped / "garments.parquet").astype(str))


def test_pseudo_labels_of_all_garments(made):
    metrics = pseudo_label.run(Params(pseudo_label=PseudoLabel(clusters=5)), made)
    labels = schemas.PSEUDO_LABELS.validate(pd.read_parquet(made.pseudo_labels / "labels.parquet"))
    garments = pd.read_parquet(made.catalog / "garments.parquet")
    assert labels["garment_id"].tolist() == garments["garment_id"].tolist()
    soft = np.stack(labels["soft_label"])
    assert soft.shape == (len(garments), 5)
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    unlabelled = (garments["num_labelled"] == 0).to_numpy()
    assert (labels["cluster"] == -1).tolist() == unlabelled.tolist()
    np.testing.assert_allclose(soft[unlabelled], 0.2, rtol=1e-6)
    np.testing.assert_array_equal(soft[~unlabelled].argmax(axis=1), labels["cluster"][~unlabelled])
    assert metrics["unlabelled"] == len(CATEGORIES)
    assert metrics["clusters"] == 5 * len(CATEGORIES)
    assert 1 <= metrics["perplexity"] <= 5


def test_centers_come_from_the_train_split_alone(made):
    pseudo_label.run(Params(pseudo_label=PseudoLabel(clusters=5)), made)
    centers = pd.read_parquet(made.pseudo_labels / "centers.parquet")
    # Of EACH garments a category one has no label and one is for validation.
    assert centers.groupby("category_id")["count"].sum().tolist() == [EACH - 2] * len(CATEGORIES)
    for own in CATEGORIES:
        rows = centers[centers["category_id"] == own.id]
        assert rows["cluster"].tolist() == list(range(len(rows)))
        assert (rows["count"].diff().dropna() <= 0).all()
        assert {len(c) for c in rows["center"]} == {2 * own.num_landmarks}
        assert cv2.imread(str(made.pseudo_labels / "clusters" / f"{own.name}.png")) is not None


def test_more_clusters_than_garments(made):
    pseudo_label.run(Params(pseudo_label=PseudoLabel(clusters=30)), made)
    labels = pd.read_parquet(made.pseudo_labels / "labels.parquet")
    soft = np.stack(labels["soft_label"])
    known = (labels["cluster"] >= 0).to_numpy()
    assert (soft[known][:, EACH - 2 :] == 0).all()
    np.testing.assert_allclose(soft[known].sum(axis=1), 1, rtol=1e-5)


def test_same_inputs_same_bytes(made):
    results = []
    for _ in range(2):
        aggregate.run(Params(), made)
        pseudo_label.run(Params(), made)
        results.append((tree(made.grouped), tree(made.pseudo_labels)))
    assert results[0] == results[1]
