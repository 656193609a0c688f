"""The comparison of heads: equal time, held-out garments, kept networks, and what the figure fits."""

import numpy as np
import pytest

from papers.config import TableConfig
from papers.evaluation_set import load_evaluation_set
from papers.heads import networks, reliability, runs
from papers.write import write_table

TINY = """
seconds: 0.2
held_out: 0.3
networks:
  ViT: {backbone: vit_w32_tiny, lr: 0.001}
landmarker: {crop: [32, 32], batch_size: 4, precision: fp32, pseudo_label_weight: 0.0}
"""


@pytest.fixture(scope="module")
def config(ws, params, tmp_path_factory):
    file = tmp_path_factory.mktemp("heads") / "tiny.yaml"
    file.write_text(TINY)
    rows = ("ViT + SimCC", "ViT + RLE")
    return TableConfig(params, ws, training_config=file, seeds=(0,), rows=rows)


@pytest.fixture(scope="module")
def table(config):
    return networks.run(config)


def test_networks_are_trained_for_equal_time_and_kept(config, table, monkeypatch):
    assert list(table.rows.index) == ["ViT + SimCC", "ViT + RLE"]
    assert table.rows["steps"].min() >= 1 and np.isfinite(table.rows["EPE, px"]).all()
    assert np.isnan(table.rows.loc["ViT + SimCC", "std corr."])
    assert np.isfinite(table.rows.loc["ViT + RLE", "std corr."])
    monkeypatch.setattr(runs, "train_landmarker", None)  # would fail
    again = networks.run(config).rows
    columns = [c for c in again.columns if c != "ms a garment"]
    np.testing.assert_array_equal(again[columns], table.rows[columns])


def test_no_network_sees_the_held_out_garments(config, table):
    comparison = runs.Comparison.open(config, load_evaluation_set(config))
    seen, unseen = (set(g.image_id) for g in (comparison.garments, comparison.held_out))
    assert seen and unseen and not seen & unseen


def test_the_figure_fits_one_temperature_a_network(config, table, tmp_path):
    figure = reliability.run(config)
    assert (figure.rows["temperature"] > 0).all()
    assert np.isfinite(figure.rows.loc["ViT + SimCC", ["ECE", "ECE after"]].astype(float)).all()
    before, after = figure.rows.loc["ViT + RLE", ["std / error", "std / error after"]].astype(float)
    assert after == pytest.approx(before * figure.rows.loc["ViT + RLE", "temperature"])
    paths = write_table(figure, tmp_path, "command", getattr(reliability, "draw", None))  # as typed
    assert paths[2].stat().st_size > 5000
