"""Recipes of Aggregation & Finetuning: one a row of Table 2, each valid and as published."""

import shutil
from pathlib import Path

import pytest

from fashion_ops.methods.describe import describe
from fashion_ops.methods.top_down.training import finetune_config
from fashion_ops.params import BOX_DETECTOR, DETECTOR, Params, load_params
from fashion_ops.params.recipes import configure

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs/agg_finetune"
TABLE_2 = {  # detector, channels, flips in finetuning, flip test
    "cascade_294": ("cascade_rcnn", "none", 0.5, False),
    "cascade_81": ("cascade_rcnn", "agg81", 0.5, False),
    "htc_81": ("htc", "agg81", 0.5, False),
    "htc_81_flip_test": ("htc", "agg81", 0.5, True),
    "finetuned": ("htc", "agg81", 0.0, True),
    "winner": ("htc", "agg81", 0.5, True),
    "ground_truth": (None, "agg81", 0.5, False),
}


def merged(tmp_path: Path, name: str, onto: str = "params.yaml") -> Params:
    file = Path(shutil.copy(ROOT / onto, tmp_path / "params.yaml"))
    configure(file, list(dict.fromkeys([FOLDER / "winner.yaml", FOLDER / f"{name}.yaml"])))
    return load_params(file)


def test_every_row_has_a_recipe():
    assert {p.stem for p in FOLDER.iterdir()} == {*TABLE_2, "third_place"}


@pytest.mark.parametrize("onto", ["params.yaml", "configs/deepfashion2.yaml"])
@pytest.mark.parametrize("name", TABLE_2)
def test_rows_differ_as_in_table_2(tmp_path, name, onto):
    p = merged(tmp_path, name, onto)
    found = p.train_box_detector.kind, p.aggregate.grouping, p.finetune.flip
    assert (*found, p.train_landmarker.flip_test) == TABLE_2[name]
    assert p.evaluate.boxes == (BOX_DETECTOR if TABLE_2[name][0] else DETECTOR)


def test_the_winner_trains_as_published(tmp_path):
    p = merged(tmp_path, "winner")
    t = p.train_landmarker
    assert (t.crop, t.heatmap_sigma, t.loss, t.batch_size) == ((384, 512), 3.0, "mse", 48)
    assert (t.decode, t.flip_shift, p.evaluate.score, p.evaluate.oks_nms) == (
        "argmax",
        True,
        "all",
        None,
    )
    assert t.lr_steps == ((7, 1e-3), (3, 1e-4), (2, 1e-5))
    for runs in p.categories.values():
        config = finetune_config(p.train_landmarker, p.finetune, runs.finetune)
        assert config.weight_decay == 0 and config.lr_steps is not None
        assert [epochs for epochs, _ in config.lr_steps] == [7, 3, 2]
        assert [lr for _, lr in config.lr_steps] == pytest.approx([1e-4, 1e-5, 1e-6])
    found = describe("landmarker", p)
    assert (found["parameters"], found["size"]) == (63_598_881, [384, 512])
    assert found["macs"] == pytest.approx(62.8e9, rel=0.01)


def test_the_third_place_trains_as_published(tmp_path):
    p = merged(tmp_path, "third_place")
    t = p.train_landmarker
    assert (t.crop, t.heatmap_sigma, t.epochs, t.weight_decay) == ((288, 384), 2.0, 210, 0)
    assert (t.flip, t.rotation, t.scale, t.channel_mask, t.balanced_sampling) == (
        0.5,
        15,
        0.1,
        True,
        True,
    )
    assert p.evaluate.oks_nms == 0.9
    found = describe("landmarker", p)
    assert (found["parameters"], found["output_channels"]) == (63_609_318, 294)
    assert found["macs"] == pytest.approx(35.31e9, rel=0.01)


def test_drops_outside_of_the_run_are_named():
    p = Params.model_validate({"finetune": {"lr_drops": [3, 4]}})
    with pytest.raises(ValueError, match=r"finetune\.lr_drops \[3, 4\].*before the last epoch, 4"):
        finetune_config(p.train_landmarker, p.finetune, p.categories["skirt"].finetune)
