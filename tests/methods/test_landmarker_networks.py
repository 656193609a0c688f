"""Landmarker networks: as large as published, started from published weights, in a model folder."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from fashion_ops.methods.artifact import load_model, save_model
from fashion_ops.methods.describe import describe_landmarker
from fashion_ops.methods.parts import backbones, published_weights
from fashion_ops.methods.parts.backbones import HRNet, landmarker_backbone
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.top_down.inference import METHOD, build
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import check_trained_as, landmarker_spec, warm_start
from fashion_ops.params import TrainLandmarker
from fashion_ops.taxonomy import category, load_grouping

TINY = TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64), precision="fp32")


@pytest.mark.parametrize(
    ("grouping", "parameters"),
    [("none", 63_609_318), ("agg81", 63_598_881), ("semantic62", 63_597_950)],
)
def test_w48_is_the_published_network(grouping, parameters):
    """Its authors: 63,595,745 with 17 channels, and 49 more a channel."""
    found = describe_landmarker("hrnet_w48", grouping, (192, 256))
    assert found["parameters"] == parameters == 63_595_745 + 49 * (found["output_channels"] - 17)


@pytest.mark.parametrize(("size", "macs"), [((192, 256), 15.69e9), ((288, 384), 35.31e9)])
def test_w48_multiplies_as_published(size, macs):
    assert describe_landmarker("hrnet_w48", "agg81", size)["macs"] == pytest.approx(macs, rel=0.002)


def test_w32_and_resnet50_are_the_published_networks():
    """HRNet-w32 has 28,536,113 with 17 channels; SimpleBaseline-50 33,999,697 (its authors: 34.0M)."""
    assert describe_landmarker("hrnet_w32", "skirt", (64, 64))["parameters"] == 28_536_113 - 9 * 33
    assert describe_landmarker("resnet50", "skirt", (64, 64))["parameters"] == 33_999_697 - 9 * 257


def test_a_categorys_own_channels():
    found = describe_landmarker("hrnet_w8_tiny", "skirt", (64, 64))
    assert found["channels"] == {"heatmaps": 8}
    skirt = load_grouping("skirt")
    assert skirt.mirror().tolist() == category("skirt").mirror().tolist()
    with pytest.raises(ValueError, match="grouping skirt has no channels for trousers"):
        skirt.channels(category("trousers").id)


def test_kept_channels_are_the_same_maps():
    model = Landmarker("hrnet_w8_tiny", 81).eval()
    channels = torch.from_numpy(load_grouping("agg81").channels(category("skirt").id))
    crops = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(crops)[:, channels]
        model.keep_channels(channels)
        torch.testing.assert_close(model(crops), before)


def test_top_only_is_the_top_of_the_whole_network():
    """The same weights give the same first map; what the other fusions hold is not missed."""
    whole, top = HRNet("hrnet_w8_tiny").eval(), HRNet("hrnet_w8_tiny", top_only=True).eval()
    top.load_state_dict(whole.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(top(images)[0], whole(images)[0])
    assert [n.shape for n in top(images)] == [n.shape for n in whole(images)]


def test_offline_weights_are_named(monkeypatch):
    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(published_weights.timm, "create_model", no_network)
    for name in ("hrnet_w18", "resnet50"):
        with pytest.raises(OSError, match=rf"'{name}\.in1k' can't be loaded .*no route to host.* null"):
            landmarker_backbone(name, "in1k")


def test_published_pose_weights_come_as_a_file(tmp_path, monkeypatch):
    monkeypatch.setitem(backbones.cfg_cls, "hrnet_w8", None)
    small = HRNet("hrnet_w8_tiny").net
    monkeypatch.setattr(backbones, "load_timm", lambda *_: HRNet("hrnet_w8_tiny").net)
    published = dict(HRNet("hrnet_w8_tiny", top_only=True).net.state_dict())
    head = {"final_layer.weight": torch.zeros(17, 8, 1, 1)}
    for file, write in {"pose.pth": torch.save, "pose.safetensors": save_file}.items():
        write(published | head, tmp_path / file)
        found = HRNet("hrnet_w8", str(tmp_path / file), top_only=True).net.state_dict()
        assert all(torch.equal(found[name], value) for name, value in published.items())
    torch.save({**published, "conv1.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"other\.pth: conv1\.weight is of shape \[4, 3, 3, 3\], must be"
    ):
        HRNet("hrnet_w8", str(tmp_path / "other.pth"), top_only=True)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth is no file"):
        HRNet("hrnet_w8", str(tmp_path / "nowhere.pth"), top_only=True)
    assert small.conv1.out_channels == 16


def test_a_resnet_is_saved_loaded_and_refined(tmp_path):
    """A SimpleBaseline does what an HRNet does: pseudo-labels, a folder, a refiner starts from it."""
    from fashion_ops.methods.posefix.model import LandmarkerPoseFix

    params = TINY.model_copy(update={"backbone": "resnet50"})
    model = Landmarker("resnet50", 8, clusters=2).eval()
    spec = landmarker_spec(params, "skirt", 2)
    save_model(tmp_path, model, spec)
    loaded, _ = load_model(tmp_path, METHOD, build, CPU)
    crops = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        heat, logits = loaded.with_labels(crops)
        torch.testing.assert_close(heat, model(crops), atol=1e-4, rtol=1e-4)
        assert heat.shape == (1, 8, 16, 16) and logits.shape == (1, 13, 2)
        refiner = LandmarkerPoseFix("resnet50", 8, 3.0).eval()
        refiner.load_landmarker(model.trunk, model.head, torch.arange(8), 1.0)
        nowhere = torch.zeros(1, 8, dtype=torch.bool)
        evidence = refiner(crops, torch.zeros(1, 8, 2), nowhere)
        torch.testing.assert_close(evidence, heat, atol=1e-3, rtol=1e-3)


def save_tiny(folder, config=TINY):
    save_model(folder, Landmarker(config.backbone, 81), landmarker_spec(config, "agg81", 0))
    return folder


def test_a_landmarker_starts_from_another_ones_tensors(tmp_path):
    folder = save_tiny(tmp_path)
    model = Landmarker("hrnet_w8_tiny", 62)  # another grouping: the head stays fresh
    head = model.head.weight.detach().clone()
    start = warm_start(model, folder)
    weights, state = load_file(folder / "weights.safetensors"), model.state_dict()
    assert start.fresh == ["head.bias", "head.weight"] and torch.equal(model.head.weight, head)
    assert start.taken == len(weights) - 2
    assert all(torch.equal(state[n], t) for n, t in weights.items() if not n.startswith("head."))
    with pytest.raises(ValueError, match=r"train_landmarker\.start_from: .*shares no parameter"):
        warm_start(Landmarker("tf_efficientnet_lite0", 62), folder)


def test_where_a_landmarker_started_is_no_part_of_its_model(tmp_path):
    config = TINY.model_copy(update={"start_from": "x", "freeze_backbone": True})
    folder = save_tiny(tmp_path, config)
    assert "start_from" not in (folder / "model.json").read_text()
    check_trained_as(folder, config, "agg81")
    check_trained_as(folder, config.model_copy(update={"start_from": "y"}), "agg81")
    with pytest.raises(ValueError, match=r"epochs 7 \(now 8\)"):
        check_trained_as(folder, config.model_copy(update={"epochs": 8}), "agg81")
