"""Cascade R-CNN and HTC as wholes: sizes against published ones, backbones, gradients, precision."""

import pytest
import torch
from detection_networks import target, tiny
from torch import nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from fashion_ops.methods.detection.backbones import Pyramid
from fashion_ops.methods.detection.cascade import canvas
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN

COCO = 80


def count(module: nn.Module | None) -> int:
    assert module is not None
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def published() -> CascadeRCNN:
    """ResNet-50 on 80 categories, without memory."""
    with torch.device("meta"):
        return CascadeRCNN(Architecture(), num_categories=COCO)


@pytest.fixture(scope="module")
def published_htc() -> CascadeRCNN:
    with torch.device("meta"):
        return CascadeRCNN(Architecture("htc"), num_categories=COCO)


def test_cascade_rcnn_has_the_published_number_of_parameters(published):
    """69.2 M on COCO in MMDetection, whose count leaves out the frozen stem and first stage."""
    body = published.backbone.net.body
    frozen = sum(
        p.numel() for name, p in body.named_parameters() if name.startswith(("conv1", "bn1", "layer1"))
    )
    assert count(published) - frozen == 69_169_422
    # By hand: Faster R-CNN's head, but with one box for all categories, three times; the rest is that
    # of torchvision's Faster R-CNN, whose published count (91 categories) has no batch norm in it.
    layers = (256 * 49 * 1024 + 1024) + (1024 * 1024 + 1024)
    head = layers + (1024 * 81 + 81) + (1024 * 4 + 4)
    assert [count(stage) for stage in published.roi_heads.stages] == [head] * 3
    theirs = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["num_params"]
    their_head = layers + (1024 * 91 + 91) + (1024 * 4 * 91 + 4 * 91)
    norms = sum(count(m) for m in body.modules() if isinstance(m, nn.BatchNorm2d))
    assert count(published) - 3 * head - norms == theirs - their_head


def test_htc_adds_three_mask_heads_and_the_semantic_branch(published, published_htc):
    """Worked by hand: 7.9 M of Mask R-CNN heads, two 1x1 flows, and the semantic branch."""
    conv1, conv3 = 256 * 256 + 256, 256 * 256 * 9 + 256
    mask = 4 * conv3 + (256 * 256 * 4 + 256) + (256 * COCO + COCO)
    semantic = 5 * conv1 + 4 * conv3 + conv1 + (256 * (COCO + 1) + COCO + 1)
    assert count(published_htc.roi_heads.masks) == 3 * mask + 2 * conv1
    assert count(published_htc.roi_heads.semantic) == semantic
    assert count(published_htc) - count(published) == 3 * mask + 2 * conv1 + semantic


def test_resnext_is_torchvisions_64x4d():
    """Its 83,455,272 parameters without the 2,049,000 of the last layer, and a pyramid on top."""
    with torch.device("meta"):
        pyramid = Pyramid("resnext101_64x4d")
    assert count(pyramid.net.body) == 83_455_272 - 2_049_000
    assert count(pyramid.net.fpn) == (256 + 512 + 1024 + 2048) * 256 + 4 * 256 + 4 * (9 * 256**2 + 256)


def test_pretrained_weights_without_network_or_name_say_what_to_do(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(OSError, match=r"resnet18\.IMAGENET1K_V1.*set pretrained to null"):
        Pyramid("resnet18", "IMAGENET1K_V1")
    with pytest.raises(ValueError, match=r"no pretrained weights 'V9'.*IMAGENET1K_V1"):
        Pyramid("resnet18", "V9")
    with pytest.raises(ValueError, match="set pretrained to null"):
        Pyramid("tiny", "IMAGENET1K_V1")
    with pytest.raises(ValueError, match="unknown detection backbone 'vgg'"):
        Pyramid("vgg")


def test_pretrained_backbones_keep_their_statistics_and_first_stage(monkeypatch):
    from torchvision.models import ResNet18_Weights, resnet18

    state = resnet18().state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *_, **__: state)
    pyramid = Pyramid("resnet18", "IMAGENET1K_V1").train()
    assert torch.equal(pyramid.net.body.layer4[0].conv1.weight, state["layer4.0.conv1.weight"])
    before = pyramid.net.body.bn1.running_mean.clone()
    pyramid(torch.randn(2, 3, 64, 64))
    assert torch.equal(pyramid.net.body.bn1.running_mean, before)
    learning = {n.split(".")[0] for n, p in pyramid.net.body.named_parameters() if p.requires_grad}
    assert learning == {"layer2", "layer3", "layer4"}


@pytest.mark.parametrize("kind", ["cascade_rcnn", "htc"])
def test_everything_learns_and_a_image_without_garments_does_no_harm(kind):
    """All losses finite and every parameter reached with one bare image of two; then only it."""
    model = tiny(kind).train()
    images = [torch.rand(3, 64, 64), torch.rand(3, 64, 48)]
    targets = [target([[8, 8, 40, 56], [4, 30, 50, 60]], [1, 8]), target([], [])]
    targets[1]["masks"] = torch.zeros(0, 64, 48, dtype=torch.uint8)
    losses = model(images, targets)
    expected = {f"{n}{i}" for n in ("category", "box") for i in (1, 2, 3)}
    expected |= {"loss_objectness", "loss_rpn_box_reg"}
    if kind == "htc":
        expected |= {"mask1", "mask2", "mask3", "semantic"}
    assert set(losses) == expected
    sum(losses.values()).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []
    assert all(p.grad.isfinite().all() for p in model.parameters())

    model.zero_grad()
    losses = model(images[1:], targets[1:])
    sum(losses.values()).backward()
    assert all(v.isfinite() for v in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_boxes_stay_fp32_under_bf16():
    """In bf16 a coordinate of 300 is known to two pixels: anchors and boxes must not be cast."""
    model = tiny("cascade_rcnn").eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        maps = model.backbone(torch.rand(1, 3, 64, 64))
        batch, _ = model.transform([torch.rand(3, 64, 64)])
        proposals, _ = model.rpn(batch, maps)
    assert canvas(maps) == [(64, 64)]
    assert {x.dtype for x in maps.values()} == {torch.float32}
    assert proposals[0].dtype == torch.float32
    assert not torch.equal(proposals[0], proposals[0].bfloat16().float())
