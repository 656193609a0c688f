"""Weights in an installed package: whole, mapped in order onto timm's network, frozen where told."""

from dataclasses import replace

import pytest
import timm
import torch
from torch.nn import functional as F

from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.parts import packaged_weights
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.backbones import landmarker_backbone
from fashion_ops.methods.parts.lite_pyramid import LitePyramid
from fashion_ops.methods.parts.packaged_weights import WEIGHTS, load_packaged
from fashion_ops.methods.parts.published_weights import load_timm
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.params import TrainDetector, TrainLandmarker
from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.synthetic.wardrobe.render import photograph

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def tensors():
    return WEIGHTS[LITE0].read()


@pytest.fixture(scope="module")
def photo():
    """A drawn person in clothes, 224 px, RGB in 0..1 (1, 3, 224, 224)."""
    drawn = photograph(plan(0, "train", 1, 1.0)[0], 224).pixels[..., ::-1].copy()
    return torch.from_numpy(drawn).permute(2, 0, 1)[None].float() / 255


def test_every_tensor_of_the_package_has_its_place_in_timms_network(tensors):
    state = timm.create_model(LITE0).state_dict()
    assert len(tensors) == len(state)
    for theirs, ours in zip(tensors, state, strict=True):
        assert tensors[theirs].shape == state[ours].shape, (theirs, ours)
        assert theirs.rpartition(".")[2] == ours.rpartition(".")[2], (theirs, ours)  # running_mean


def test_the_packaged_network_reads_what_all_networks_here_read(photo, tensors):
    """From ImageNet's normalisation it computes what it did from its own, (pixel - 127) / 128."""
    plain, folded = (timm.create_model(LITE0).eval() for _ in range(2))
    plain.load_state_dict(dict(zip(plain.state_dict(), tensors.values(), strict=True)))
    load_packaged(folded, LITE0, "pretrained")
    with torch.inference_mode():
        expected = plain.bn1(plain.conv_stem((photo * 255 - 127) / 128))
        stem = folded.bn1(folded.conv_stem(normalize(photo)))
        logits = plain((photo * 255 - 127) / 128), folded(normalize(photo))
    torch.testing.assert_close(stem[..., :-1, :-1], expected[..., :-1, :-1], rtol=1e-4, atol=1e-4)
    assert torch.corrcoef(torch.cat(logits))[0, 1] > 0.99  # the border is the only difference


def test_maps_of_the_pyramid_are_those_of_timm(photo):
    pyramid = LitePyramid(LITE0, "package").eval()
    reference = load_timm(LITE0, "package", features_only=True).eval()
    with torch.inference_mode():
        stem = pyramid.stem(photo)
        neck, deep = pyramid.stages(stem)
        expected = reference(photo)
    torch.testing.assert_close(stem, expected[1])
    torch.testing.assert_close(deep, expected[-1])
    assert neck.shape == (1, 64, 56, 56) and pyramid.channels == [64, 320]


def test_another_content_is_refused_in_one_line(tmp_path, monkeypatch):
    weights = WEIGHTS[LITE0]
    other = tmp_path / "other.pth"
    other.write_bytes(b"other weights")
    monkeypatch.setattr(packaged_weights.PackagedWeights, "find", lambda _: other)
    with pytest.raises(ValueError, match=r"other\.pth: sha256 is \w{64}, must be 5793.*install") as e:
        weights.read()
    assert "\n" not in str(e.value)


def test_a_package_that_is_not_there_is_named():
    missing = replace(WEIGHTS[LITE0], package="efficientnet-lite9-pytorch-model")
    with pytest.raises(FileNotFoundError, match=r"efficientnet-lite9-.* is not installed; `make env`"):
        missing.find()
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth: missing; install the package"):
        replace(WEIGHTS[LITE0], file="nothing.pth").find()


@pytest.mark.parametrize("make", [landmarker_backbone, lambda n, p: CenterNet(n, 81, pretrained=p)])
def test_a_backbone_without_packaged_weights_is_refused(make):
    with pytest.raises(ValueError, match=r"pretrained: no package has weights of 'hrnet_w18', only of"):
        make("hrnet_w18", "package")


@pytest.mark.parametrize("make", [Landmarker, CenterNet])
def test_a_frozen_backbone_gets_no_gradient_and_keeps_its_statistics(make, photo):
    model = make(LITE0, 81, pretrained="package")
    network = model.trunk.net if make is Landmarker else model.backbone
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model.freeze_backbone()
    model.train()
    x = F.interpolate(normalize(photo), size=(64, 64))
    out = model(torch.cat([x, x.flip(-1)]))
    loss = out.square().mean() if make is Landmarker else sum(m.square().mean() for m in out.values())
    loss.backward()
    assert all(p.grad is None for p in network.parameters())
    trained = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    assert trained and not any(name.startswith(("trunk.net", "backbone")) for name in trained)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert any(m.training for m in norms)  # those of the neck learn theirs


@pytest.mark.parametrize("section", [TrainDetector, TrainLandmarker])
def test_random_weights_are_not_frozen(section):
    with pytest.raises(ValueError, match=r"freeze_backbone keeps .* random: name pretrained"):
        section(freeze_backbone=True)
    assert section(freeze_backbone=True, backbone=LITE0, pretrained="package").freeze_backbone
