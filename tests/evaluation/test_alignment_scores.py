"""``fashion-ops score --metric ne|pdl|pcp`` and ``fashion-ops pseudo-label``, as a user calls them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_alignment import read_in, write_alignment_data
from typer.testing import CliRunner

from fashion_ops.catalog.alignment.reader import SUBSETS, AlignmentCatalog
from fashion_ops.cli import app
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, point_set
from fashion_ops.workspace import find_root

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    write_alignment_data(folder / "raw", train=0, val=0, test=10, items=0, people=8)
    for name in ("fld", "lsp"):
        read_in(name, folder / "raw" / name, folder / name)
    return folder


def predictions(catalog, path, move):
    garments = AlignmentCatalog(catalog).garments
    rows = [np.add(np.reshape(v, (-1, 3)), (*move, 0)) for v in garments["landmarks"]]
    table = {"garment_id": garments["garment_id"], "landmarks": [r.astype("f4").ravel() for r in rows]}
    pd.DataFrame(table).to_parquet(path)
    return path


def call(*words):
    assert find_root() == ROOT
    return CliRunner().invoke(app, [str(word) for word in words])


def test_normalised_error_of_a_known_shift(catalogs, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    moved = predictions(catalogs / "fld", tmp_path / "p.parquet", (3, 4))
    common = ("--annotations", catalogs / "fld", "--predictions", moved, "--metric")
    scores = json.loads(call("score", *common, "ne", "--json").stdout)
    points = AlignmentCatalog(catalogs / "fld").points("test")
    sides = (points.box[:, 2:] - points.box[:, :2]).max(axis=1)
    for row, mask in zip(scores["rows"], (points.visibility == 2, points.observed), strict=True):
        expected = (5 / sides)[:, None].repeat(8, axis=1)
        assert row["count"] == mask.sum() and row["micro"] == pytest.approx(
            expected[mask].mean(), rel=1e-5
        )
        assert set(row["per_landmark"]) <= {"left_collar", "right_hem", *row["per_landmark"]}
    assert [row["points"] for row in scores["rows"]] == ["visible", "visible + occluded"]
    text = call("score", *common, "pdl", "--pixels", 15, "--frame", "box").stdout
    assert "box stretched to a square" in text and "within 15 of 224 px" in text
    assert "macro at 50 px" in text
    kind = CLOTHES_TYPES[points.clothes_type[0] - 1]
    subset = next(n for n, code in SUBSETS.items() if code == points.variation[0])
    same = (points.clothes_type == points.clothes_type[0]) & points.subset(subset)
    chosen = json.loads(call("score", *common, "ne", "--only", kind, "--only", subset, "--json").stdout)
    assert (chosen["subset"], chosen["garments"]) == (subset, same.sum())
    assert set(chosen["rows"][1]["per_landmark"]) <= set(point_set(kind).point_names)
    two = call("score", *common, "ne", "--only", "upper", "--only", "full")
    assert two.exit_code == 2 and "--only upper and --only full: no garment is both" in two.stderr
    other = call("score", *common, "ne", "--only", "small_pose")
    assert other.exit_code == 2 and "--only small_pose: expected one of upper, " in other.stderr
    missing = pd.read_parquet(moved).iloc[1:]
    missing.to_parquet(moved)
    refused = call("score", *common, "ne")
    assert refused.exit_code == 2 and "have no prediction" in refused.stderr


def test_parts_print_their_convention(catalogs, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    same = predictions(catalogs / "lsp", tmp_path / "p.parquet", (0, 0))
    text = call(
        "score", "--annotations", catalogs / "lsp", "--predictions", same, "--metric", "pcp"
    ).stdout
    assert "strict PCP: both ends within 0.5 of the stick's length, observer-centric joints" in text
    assert "loose PCP" in text and "mean                   100.0000" in text


def test_pseudo_labels_from_a_table_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    folder = ROOT.parent / "shared" / "samples" / "fld"
    if not folder.is_dir():
        pytest.skip("../shared/samples is missing")
    train, val = folder / "fld_upper_train.csv", folder / "fld_upper_val.csv"
    done = call("pseudo-label", train, "--also", val, "--out", tmp_path / "labels")
    assert done.exit_code == 0, done.output
    printed = done.stdout.split("fld_upper_val.csv")[1].splitlines()
    values = {line[:30].strip(): float(line[30:]) for line in printed[1:]}
    assert values["perplexity, T=1, median"] == pytest.approx(1.0, abs=0.005)
    assert values["perplexity, T=20"] == pytest.approx(5.6, abs=0.4)
    assert values["perplexity, T=20, all rows"] == pytest.approx(5.6, abs=0.4)
    labels = pd.read_parquet(tmp_path / "labels" / "labels_fld_upper_val.parquet")
    assert len(labels) == 6873 and np.allclose(labels["soft_label"].map(sum), 1, atol=1e-5)
    assert len(pd.read_csv(tmp_path / "labels" / "centers.csv")) == 20


def test_a_table_that_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "t.csv"
    file.write_text("image_name,left_ear_x,left_ear_y\na.jpg,1,2\n")
    done = call("pseudo-label", file)
    assert done.exit_code == 2 and "expected left_collar_x" in done.stderr
    names = ("left_waistline", "right_waistline", "left_hem", "right_hem")
    head = ",".join(f"{n}_{c}" for n in names for c in ("vis", "x", "y"))
    file.write_text(f"image_name,{head}\na.jpg,0,5,5,0,9,5,0,0,0,0,9,9\n")
    done = call("pseudo-label", file)
    assert done.exit_code == 2 and "line 2, left_hem: code 0 at [0.0, 0.0]" in done.stderr
