"""What networks cost: the paper's and the published code's numbers, by part, and the command."""

import json

import pytest
import torch
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.methods.describe import (
    as_text,
    describe,
    describe_detector,
    describe_landmarker,
    describe_refiner,
    parse_size,
)
from fashion_ops.params import Params

runner = CliRunner()


@pytest.mark.parametrize(("size", "printed"), [(128, 2.423), (256, 9.691), (512, 38.765)])
def test_table_6_of_the_paper(size, printed):
    """DeepMark++ prints 19.5 M parameters and these "GFLOPs" for mDLA-34."""
    reference = describe_detector("mdla34", "semantic62", size)["reference"]
    assert reference["parameters"] == 19_512_061
    assert round(reference["operations"] / 1e9, 3) == printed


@pytest.mark.parametrize(
    ("backbone", "grouping", "size", "head_width", "gmacs"),
    [
        ("mdla34", "semantic62", 256, None, 9.6325),
        ("mdla34", "none", 256, None, 10.3623),
        ("mdla34", "semantic62", 256, 128, 7.713),
        ("dla34_dcn", "semantic62", 256, None, 10.214),
        ("dla34_dcn", "none", 256, None, 10.944),
        ("resnet50", "semantic62", 256, None, 10.895),
        ("resnet50", "semantic62", 256, 256, 21.928),
        ("hourglass104", "semantic62", 512, None, 351.7),
        ("hourglass104", "none", 512, None, 357.6),
    ],
)
def test_multiply_accumulates_of_the_published_networks(backbone, grouping, size, head_width, gmacs):
    found = describe_detector(backbone, grouping, size, head_width)
    digits = len(str(gmacs).partition(".")[2])
    assert round(found["reference"]["macs"] / 1e9, digits) == gmacs
    assert found["output_channels"] == (205 if grouping == "semantic62" else 901)


def test_what_the_published_dla_throws_away():
    """Two 1x1 convolutions with batch norm, at strides 8 and 16; nothing of it in other networks."""
    found = describe_detector("mdla34", "semantic62", (256, 128))
    assert found["parameters"] == 19_512_061 - 41_728
    assert found["unused_in_reference"] == {
        "parameters": 41_728,
        "macs": 64 * 128 * 32 * 16 + 128 * 256 * 16 * 8,
    }
    assert describe_detector("resnet50", "agg81", 64)["unused_in_reference"]["parameters"] == 0


def test_parts_add_up_and_a_head_is_what_it_is():
    """A head on 64x64 cells: 3x3 from 64 to 256 channels, 1x1 to its own."""
    found = describe_detector("mdla34", "semantic62", 256)
    parts = found["parts"]
    assert list(parts) == ["base", "neck", "hm", "wh", "hps", "reg", "hm_hp", "hp_offset"]
    assert parts["hps"]["macs"] == 64 * 64 * (9 * 64 * 256 + 256 * 124)
    assert parts["hps"]["parameters"] == 9 * 64 * 256 + 256 + 256 * 124 + 124
    for what in ("parameters", "macs"):
        assert sum(p[what] for p in parts.values()) == found[what]
        assert sum(p[f"{what}_share"] for p in parts.values()) == pytest.approx(1)
    heads = sum(parts[name]["macs_share"] for name in found["channels"])
    assert heads == pytest.approx(0.40, abs=0.005)  # facts a.9: 3.84 of 9.63 G


def test_heads_of_the_first_stack_only_train():
    found = describe_detector("hourglass104", "semantic62", 512)
    assert found["parameters"] == pytest.approx(194.887e6, abs=500)
    early = found["parts"]["early_heads"]
    assert early["macs"] == 0
    assert found["training_only"]["parameters"] == early["parameters"]
    heads = [found["parts"][name] for name in found["channels"]]
    assert early["parameters"] == sum(p["parameters"] for p in heads)
    assert found["training_only"]["macs"] == sum(p["macs"] for p in heads)


def test_deformable_costs_the_offsets_and_nothing_else():
    """Each of 16 layers has 27 more channels, on maps of 64 to 512 channels."""
    plain, deformable = (describe_detector(name, "semantic62", 256) for name in ("mdla34", "dla34_dcn"))
    layers = [(512, 16 / 2)]  # (inputs, cells a side)
    layers += [(256, 16), (256, 16), (256, 16), (128, 32), (128, 32)]
    layers += [(128, 32), (128, 32), (128, 32), (64, 64), (64, 64), (64, 64)]
    layers += [(128, 32), (256, 16), (64, 64), (64, 64)]
    assert len(layers) == 16
    more = sum(27 * 9 * inputs * side * side for inputs, side in layers)
    assert deformable["macs"] - plain["macs"] == more
    assert deformable["parameters"] - plain["parameters"] == sum(27 * (9 * n + 1) for n, _ in layers)
    assert deformable["reference"]["operations"] is None


def test_landmarker():
    """HRNet-w32's own table says 16.0 G at 288x384, in units of 2^30."""
    found = describe_landmarker("hrnet_w32", "semantic62", (288, 384), clusters=20)
    assert found["channels"] == {"heatmaps": 62}
    assert found["macs"] / 2**30 == pytest.approx(16.0, rel=0.01)
    assert found["training_only"]["parameters"] == found["parts"]["label_head"]["parameters"]
    assert found["training_only"]["macs"] == 256 * 13 * 20
    half = describe_landmarker("hrnet_w32", "semantic62", (288, 192))
    assert half["macs"] * 2 == found["macs"]
    assert half["parameters"] == found["parameters"] - found["training_only"]["parameters"]


def test_refiner():
    """ResNet-152 at 288x384 with 8 pose maps: three deconvolutions and the last layer by hand."""
    found = describe_refiner("resnet152", "skirt", (288, 384))
    cells = 9 * 12
    assert found["parts"]["neck"]["macs"] == cells * 16 * (2048 * 256 + 256 * 256 * (4 + 16))
    assert found["parts"]["head"]["macs"] == 72 * 96 * 256 * 8
    assert found["output_channels"] == 8
    own = describe_refiner("hrnet_w16_small", "skirt", (96, 128))
    assert own["parts"]["trust"] == {
        "parameters": 8,
        "parameters_share": 8 / own["parameters"],
        "macs": 0,
        "macs_share": 0,
    }
    assert own["parts"]["trunk"]["macs_share"] > 0.9


def test_nothing_is_allocated():
    """A network of 800 MB on a 4096-pixel image, on the meta device."""
    before = torch.get_default_device()
    assert describe_detector("hourglass104", "none", 4096)["macs"] > 1e13
    assert torch.get_default_device() == before


def test_parameters_say_what_is_described():
    params = Params.model_validate(
        {
            "train_detector": {"backbone": "small", "neck_width": 32, "head_width": 16},
            "aggregate": {"grouping": "semantic62"},
            "train_landmarker": {"crop": [64, 96]},
        }
    )
    own = describe("detector", params)
    assert (own["neck_width"], own["head_width"], own["grouping"]) == (32, 16, "semantic62")
    other = describe("detector", params, backbone="mdla34", size=(64, 64))
    assert (other["neck_width"], other["head_width"], other["size"]) == (64, 256, [64, 64])
    landmarker = describe("landmarker", params)
    assert (landmarker["backbone"], landmarker["size"]) == ("hrnet_w16_small", [64, 96])
    refiner = describe("refiner", params)
    assert (refiner["backbone"], refiner["category"]) == ("hrnet_w16_small", "long_sleeve_outwear")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cat"], "unknown method 'cat'; known: detector, landmarker, refiner"),
        (["detector", "--backbone", "vgg"], "unknown 'vgg'"),
        (["landmarker", "--backbone", "mdla34"], "unknown 'mdla34'; known: ['hrnet_w16_small'"),
        (["refiner", "--backbone", "mdla34"], "refine.backbone: unknown 'mdla34'"),
        (["detector", "--grouping", "63"], "unknown grouping '63'"),
        (["refiner", "--grouping", "none"], "leave out grouping 'none'"),
        (["landmarker", "--category", "skirt"], "leave out category 'skirt'"),
        (["detector", "--size", "256by256"], "size '256by256' is neither"),
        (["landmarker", "--size", "100x128"], "size 100x128: both sides must be multiples of 32"),
        (["detector", "--backbone", "hourglass104", "--size", "320"], "must be multiples of 128"),
    ],
)
def test_mistakes_are_named(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}\n")
    done = runner.invoke(app, ["describe", *arguments])
    assert done.exit_code == 2
    assert message in done.output


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}\n")
    options = ["--backbone", "mdla34", "--grouping", "semantic62", "--size", "256"]
    done = runner.invoke(app, ["describe", "detector", *options, "--json"])
    assert json.loads(done.stdout) == describe_detector("mdla34", "semantic62", 256)
    text = runner.invoke(app, ["describe", "detector", *options]).stdout
    for line in ("19,470,333 parameters", "9.6157 G", "205 output channels", "19,512,061", "9.691 G"):
        assert line in text
    assert "only in training" in as_text(describe_landmarker("hrnet_w18", "agg81", (64, 64), 5))


def test_sizes():
    assert parse_size("256") == (256, 256)
    assert parse_size("288x384") == parse_size("288X384") == (288, 384)
    for bad in ("", "x", "1x2x3", "0", "-5", "3.5"):
        with pytest.raises(ValueError, match="neither a side"):
            parse_size(bad)
