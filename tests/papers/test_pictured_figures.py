"""The figures that are pictures: run whole on small data, and what their tables say."""

import importlib
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from synthetic_alignment import read_in, write_alignment_data

from fashion_ops.params import Params
from fashion_ops.taxonomy import NUM_LANDMARKS
from fashion_ops.workspace import Workspace
from papers import agg_finetune, deepmark, dfa, pictures
from papers.agg_finetune import figure1 as landmarks_294
from papers.applications import figure10
from papers.config import TableConfig
from papers.deepmark import figure1 as trade_off
from papers.deepmark import figure3 as groups
from papers.deepmark import savings, table1
from papers.dfa import figure1, figure2, figure8, figure9, figure11
from papers.dfa.runs import Runs
from papers.table import Column, Table
from papers.write import write_table

SMALL = {"backbone": "tiny", "input_size": 32, "epochs": 3, "batch_size": 8, "clusters": 3}


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> TableConfig:
    root = tmp_path_factory.mktemp("pictured")
    ws = Workspace(root)
    twin = write_alignment_data(root / "twin", items=8)
    for source in ("fld", "lsp", "consumer_to_shop"):
        read_in(source, twin / source, ws.alignment_catalog / source)
    (root / "gle.yaml").write_text(
        "backbone: tiny\ncrop: [32, 32]\nepochs: 1\nbatch_size: 8\nprecision: fp32\n"
    )
    params = Params.model_validate({"dfa_stage": SMALL | {"precision": "fp32"}})
    return TableConfig(params, ws, seeds=(0,), training_config=root / "gle.yaml")


def table_of(rows):
    columns = tuple(Column(name) for name in rows.columns)
    return Table("table1", "t", columns, rows, ours="o", theirs="t", same_data=False)


def colours(path) -> int:
    """Number of colours of a picture, which a blank page has few of."""
    return len(np.unique(cv2.imread(str(path)).reshape(-1, 3), axis=0))


def test_places_vary_by_the_labels_and_looks_by_the_pixels(aligned, tmp_path):
    table = figure1.run(aligned)
    kinds = [str(row).partition(":")[0] for row in table.rows.index]
    assert kinds.count("human joints") == 14 + 1 and kinds.count("fashion landmarks") == 8 + 1
    means = table.rows[[str(row).endswith("mean") for row in table.rows.index]]
    assert (means > 0).all(axis=None) and (means.iloc[:, 0] < 70).all()
    figure1.draw(table, tmp_path / "figure1.png")
    assert colours(tmp_path / "figure1.png") > 20


def test_shares_add_up(aligned):
    rows = figure2.run(aligned).rows
    states = [f"{state}, %" for state in figure2.STATES]
    np.testing.assert_allclose(rows[states].sum(1), 100)
    types = rows[[str(row).endswith("body") for row in rows.index]]
    assert types["garments"].sum() == rows.loc["all", "garments"]


def test_methods_side_by_side_and_stages_with_what_they_see(aligned, tmp_path, monkeypatch):
    trained: list[tuple[str, int]] = []
    train = Runs._train
    monkeypatch.setattr(
        Runs, "_train", lambda self, name, *a: (trained.append((name, a[0])), train(self, name, *a))
    )
    monkeypatch.setattr(figure8, "GARMENTS", 2)
    for module in (figure8, figure11, figure9):
        table = module.run(aligned)
        paths = write_table(table, tmp_path, "python -m papers dfa", getattr(module, "draw", None))
        assert colours(paths[2]) > 1000
        assert (table.rows.to_numpy(float) >= 0).all()
    first, second = (pd.read_csv(tmp_path / f"figure{n}.csv") for n in (8, 11))
    assert not set(first["line"]) & set(second["line"])
    assert len(trained) == len(set(trained))  # all three figures share the rows, by name and epochs


def test_retrieval_frames_the_queried_item(aligned, tmp_path):
    table = figure10.run(aligned)
    assert 0 < len(table.rows) <= figure10.QUERIES
    right = table.rows[f"right among {figure10.NEAREST}"]
    assert ((table.rows["rank of the item"] <= figure10.NEAREST) == (right > 0)).all()
    path = write_table(table, tmp_path, "python -m papers dfa")[2]
    green = (cv2.imread(str(path))[..., ::-1] == pictures.RIGHT_MATCH).all(-1).any()
    assert green == bool(right.sum())


@pytest.mark.parametrize(("module", "total"), [(landmarks_294, NUM_LANDMARKS), (groups, NUM_LANDMARKS)])
def test_skeletons_number_every_landmark(config_of, module, total, tmp_path):
    table = module.run(config_of())
    assert table.rows["landmarks"].sum() == total
    assert (table.rows["groups of its own"] <= table.rows["landmarks"]).all()
    if module is groups:
        shared = table.rows["shared groups"] + table.rows["groups of its own"]
        assert (shared == table.rows["landmarks"]).all()  # no two landmarks of a category share one
        assert colours(write_table(table, tmp_path, "python -m papers")[2]) > 50


def test_the_trade_off_has_table_1s_ap(config_of, monkeypatch, tmp_path):
    ap = pd.DataFrame(
        {"AP_pt": [0.4, 0.5, 0.45], "AP_box": [0.6, 0.7, 0.65]},
        index=["tiny, 294", "tiny, 81", "tiny, 62"],
    )
    known = replace(table_of(ap), rows=ap)
    monkeypatch.setattr(table1, "run", lambda config: known)
    times = pd.DataFrame({"time, ms": [9.0, 7.0]}, index=["tiny, 294", "tiny, 62"])
    monkeypatch.setattr(savings, "compare", lambda *_: times.rename_axis("network, channels"))
    table = trade_off.run(config_of())
    assert table.rows["AP_pt"].to_dict() == {"tiny, 294": 0.4, "tiny, 62": 0.45}
    trade_off.draw(table, tmp_path / "figure1.png")
    assert colours(tmp_path / "figure1.png") > 20


def test_the_picture_of_a_table_takes_the_place_of_its_panels(tmp_path):
    rows = pd.DataFrame({"a": [1.0]}, index=pd.Index(["r"], name="n"))
    own = replace(table_of(rows), picture=lambda path: path.write_bytes(b"picture"))
    assert write_table(own, tmp_path, "python -m papers x")[2].read_bytes() == b"picture"
    panels = write_table(table_of(rows), tmp_path, "python -m papers x")[2]
    assert panels.read_bytes().startswith(b"\x89PNG")


def test_every_figure_of_a_list_has_its_module():
    for package in (dfa, deepmark, agg_finetune):
        for name in package.FIGURES:
            other = package is dfa and name in ("figure7", "figure10")
            folder = "papers.applications" if other else package.__name__
            assert callable(importlib.import_module(f"{folder}.{name}").run)
