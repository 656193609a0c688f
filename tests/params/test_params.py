"""Parameters: the shipped files are valid, and mistakes are named."""

from pathlib import Path

import pytest

from fashion_ops.params import Params, load_params

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", ["params.yaml", "configs/deepfashion2.yaml"])
def test_shipped_parameters_name_every_category(file):
    params = load_params(ROOT / file)
    assert len(params.categories) == 13


def test_the_paper_size_configuration():
    """Section (e) of Aggregation & Finetuning: HRNet-w48, 384x512 crops, 81 channels, 12 epochs."""
    params = load_params(ROOT / "configs/deepfashion2.yaml")
    landmarker = params.train_landmarker
    assert (landmarker.backbone, landmarker.crop) == ("hrnet_w48", (384, 512))
    assert (landmarker.heatmap_sigma, landmarker.epochs) == (3.0, 12)
    assert params.aggregate.grouping == "agg81"


def test_unknown_keys_and_bad_values_are_named(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("train_landmarker: {lr: -1, epoch: 3}\ncategories: {jeans: {}}\n")
    with pytest.raises(ValueError) as error:
        load_params(file)
    text = str(error.value)
    assert str(file) in text
    assert "train_landmarker.lr" in text and "got -1" in text
    assert "train_landmarker.epoch: Extra inputs are not permitted" in text


def test_unknown_category(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("categories: {jeans: {}}\n")
    with pytest.raises(ValueError, match=r"unknown \['jeans'\]"):
        load_params(file)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ValueError, match=r"has no nowhere\.yaml; this needs a workspace"):
        load_params(tmp_path / "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(ValueError, match=r"broken\.yaml: cannot be read as YAML"):
        load_params(tmp_path / "broken.yaml")


def test_defaults_are_those_of_the_shipped_file():
    """One set of values: what ``params.yaml`` leaves out is what it says today."""
    assert Params() == load_params(ROOT / "params.yaml")
    assert Params().registration.model == "garment-landmarks"
