"""Cascade R-CNN and HTC: sizes against published ones, stages, branches, gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from fashion_ops.methods.detection.backbones import Pyramid
from fashion_ops.methods.detection.cascade import IOUS, CascadeHeads, Stage, canvas, pick
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN

COCO = 80
TINY = {"backbone": "tiny", "short_side": 64, "long_side": 64, "smallest_anchor": 16, "samples": 32}


def count(module: nn.Module | None) -> int:
    assert module is not None
    return sum(p.numel() for p in module.parameters())


def tiny(kind: str) -> CascadeRCNN:
    torch.manual_seed(0)
    return CascadeRCNN(Architecture(kind, **TINY))


def target(boxes: list[list[float]], labels: list[int], side: int = 64) -> dict[str, torch.Tensor]:
    masks = torch.zeros(len(boxes), side, side, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks,
    }


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


def test_a_stage_regresses_one_box_for_all_categories():
    stage = Stage(0, 32, 16, 13, 8)
    logits, deltas = stage(torch.randn(5, 32, 7, 7))
    assert logits.shape == (5, 14)
    assert deltas.shape == (5, 4)


@pytest.mark.parametrize("number", range(3))
def test_coding_and_decoding_of_boxes_are_inverse(number):
    """With a 3:4:5 example by hand: the first stage's units are 0.1 of the width for a shift."""
    stage = Stage(number, 32, 16, 13, 8)
    boxes = torch.tensor([[10.0, 10, 30, 50], [0, 0, 8, 8]])
    truth = torch.tensor([[12.0, 14, 36, 40], [1, 2, 11, 9]])
    (deltas,) = stage.box_coder.encode([truth], [boxes])
    assert torch.allclose(stage.refine(deltas, [boxes], [(64, 64)])[0], truth, atol=1e-4)
    centers = (24.0 - 20) / 20  # of the widths
    assert float(deltas[0, 0]) == pytest.approx(centers * (10, 20, 30)[number])


def test_refined_boxes_stay_in_the_picture():
    stage = Stage(0, 32, 16, 13, 8)
    boxes = torch.tensor([[40.0, 40, 60, 60]])
    moved = stage.refine(torch.full((1, 4), 30.0), [boxes], [(64, 50)])[0]
    assert moved[0, 2] <= 50
    assert moved[0, 3] <= 64


def test_later_stages_ask_for_better_boxes():
    """A box of IoU 0.65 with its garment is one in the first two stages and background in the third."""
    truth = target([[0, 0, 40, 40]], [7])
    box = torch.tensor([[0.0, 0, 40, 26]])  # 26 / 40
    assert IOUS == (0.5, 0.6, 0.7)
    for number, expected in enumerate((7, 7, 0)):
        stage = Stage(number, 32, 16, 13, 8)
        sampled, _, labels, _ = stage.select_training_samples([box.clone()], [truth])
        row = (sampled[0] == box).all(1)
        assert labels[0][row].tolist() == [expected]


class _Fixed(Stage):
    """A stage that regresses what it is told and is sure of category 1 + number."""

    number: int
    deltas: torch.Tensor

    def forward(self, pooled):
        logits = torch.zeros(len(pooled), 14)
        logits[:, 1 + self.number] = 8.0
        return logits, self.deltas.expand(len(pooled), 4)


def fixed_heads() -> CascadeHeads:
    """Three stages that move boxes right by 0.1, 0.1 and 0.1 of their width."""
    heads = CascadeHeads(32, 16, 13, 8, hybrid=False)
    for number in range(3):
        stage = _Fixed(number, 32, 16, 13, 8)
        stage.number = number
        stage.deltas = torch.tensor([0.1 * (10, 20, 30)[number], 0, 0, 0])
        heads.stages[number] = stage
    return heads.eval()


def features(side: int = 64) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    sides = [side // s for s in (4, 8, 16, 32, 64)]
    return {
        name: torch.randn(1, 32, max(1, s), max(1, s))
        for name, s in zip([*"0123", "pool"], sides, strict=True)
    }


def test_each_stage_starts_from_the_boxes_of_the_one_before():
    """Three shifts of a tenth of 20 pixels: 10 becomes 16; the classes' probabilities are averaged."""
    boxes, scores = fixed_heads().run(
        features(), None, [torch.tensor([[10.0, 10, 30, 30]])], [(64, 64)]
    )
    assert torch.allclose(boxes[0], torch.tensor([[16.0, 10, 36, 30]]), atol=1e-4)
    sure = torch.tensor([8.0, *[0.0] * 13]).softmax(0)
    expected = (sure[0] + 2 * sure[1]) / 3
    assert torch.allclose(scores[0][0, 1:4], expected.expand(3), atol=1e-6)
    assert float(scores[0].sum()) == pytest.approx(1.0, abs=1e-6)


def test_in_training_stage_two_matches_what_stage_one_has_refined(monkeypatch):
    """A proposal of IoU 0.54 is moved onto its garment by stage 1, and so counts in stages 2 and 3."""
    heads = fixed_heads().train()
    for stage in heads.stages[1:]:
        stage.deltas = torch.zeros(4)
    heads.stages[0].deltas = torch.tensor([3.0, 0, 0, 0])  # 0.3 of 20 pixels
    seen = []
    for stage in heads.stages:
        original = stage.select_training_samples

        def remember(boxes, targets, original=original):
            seen.append(boxes[0].clone())
            return original(boxes, targets)

        monkeypatch.setattr(stage, "select_training_samples", remember)
    truth = target([[16, 10, 36, 30]], [3])
    heads.losses(features(), None, [torch.tensor([[10.0, 10, 30, 30]])], [(64, 64)], [truth])
    assert torch.allclose(seen[0], torch.tensor([[10.0, 10, 30, 30]]))
    for boxes in seen[1:]:  # the added ground truth does not go on
        assert torch.allclose(boxes, torch.tensor([[16.0, 10, 36, 30]]), atol=1e-4)


def test_the_stages_losses_weigh_one_a_half_and_a_quarter():
    """Logits of 0 everywhere cost log 14 a box, whatever the boxes are."""
    heads = CascadeHeads(32, 16, 13, 8, hybrid=False)
    for stage in heads.stages:
        nn.init.zeros_(stage.box_predictor["category"].weight)
    truth = target([[10, 10, 40, 40]], [3])
    losses = heads.losses(features(), None, [torch.rand(6, 4).cumsum(1) * 16], [(64, 64)], [truth])
    nothing = float(torch.tensor(14.0).log())
    each = [float(losses[f"category{i}"].detach()) / nothing for i in (1, 2, 3)]
    assert each == pytest.approx([1.0, 0.5, 0.25], abs=1e-5)


def test_doubles_are_suppressed_within_a_category_only():
    boxes = torch.tensor([[0.0, 0, 20, 20], [1, 0, 21, 20], [40, 40, 60, 60]])
    scores = torch.zeros(3, 14)
    scores[0, 5], scores[1, 5], scores[1, 8], scores[2, 5] = 0.9, 0.8, 0.7, 0.04
    found = pick(boxes, scores, 0.05)
    assert found["labels"].tolist() == [5, 8]
    assert torch.equal(found["boxes"], boxes[:2])
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7])


@pytest.mark.parametrize("kind", ["cascade_rcnn", "htc"])
def test_everything_learns_and_a_picture_without_garments_does_no_harm(kind):
    """All losses finite and every parameter reached with one bare picture of two; then only it."""
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


def test_no_loss_of_a_stage_reaches_the_boxes_that_it_was_given():
    """Refined boxes carry no gradient, or stage 3's loss would train stage 1's regression."""
    heads = CascadeHeads(32, 16, 13, 8, hybrid=False)
    truth = target([[10, 10, 40, 40]], [3])
    losses = heads.losses(features(), None, [torch.tensor([[9.0, 9, 41, 42]])], [(64, 64)], [truth])
    losses["box3"].backward()
    assert heads.stages[0].box_predictor["box"].weight.grad is None
    assert heads.stages[2].box_predictor["box"].weight.grad.abs().sum() > 0


def test_mask_features_flow_from_stage_to_stage():
    """Stage 3's masks depend on heads 1 and 2, in value and in gradient; stage 1's on nobody else."""
    model = tiny("htc")
    masks = model.roi_heads.masks
    maps, boxes = features(), [torch.tensor([[8.0, 8, 40, 40]])]
    truth = [target([[8, 8, 40, 40]], [3])]
    matched = [torch.tensor([0])]
    loss = [masks.loss(i, maps, None, boxes, matched, truth) for i in range(3)]
    loss[2].backward()
    for part in (masks.heads[0].convs, masks.heads[1].flow, masks.heads[2].flow):
        assert all(p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None for p in masks.heads[0].predictor.parameters())
    with torch.no_grad():
        for p in masks.heads[1].flow.parameters():
            p.zero_()
        again = [masks.loss(i, maps, None, boxes, matched, truth) for i in range(3)]
    assert [torch.equal(a, b) for a, b in zip(again, loss, strict=True)] == [True, False, False]


def test_the_mask_head_sees_boxes_that_its_own_stage_has_refined(monkeypatch):
    """Interleaved execution: stage 1's masks are trained on stage 1's output, not on its input."""
    heads = CascadeHeads(32, 16, 13, 32, hybrid=True).train()
    stage = _Fixed(0, 32, 16, 13, 32)
    stage.number, stage.deltas = 0, torch.tensor([3.0, 0, 0, 0])
    heads.stages[0] = stage
    seen = {}
    original = heads.masks.loss

    def remember(number, features, semantic, boxes, *rest):
        seen[number] = boxes[0].clone()
        return original(number, features, semantic, boxes, *rest)

    monkeypatch.setattr(heads.masks, "loss", remember)
    maps, truth = features(), target([[16, 10, 36, 30]], [3])
    proposals = [torch.tensor([[10.0, 10, 30, 30], [10.5, 10, 30.5, 30]])]
    heads.losses(maps, heads.semantic(maps), proposals, [(64, 64)], [truth])
    lefts = sorted(seen[0][:, 0].tolist())
    assert lefts == pytest.approx([16.0, 16.0, 16.5], abs=1e-4)  # refined, added truth, refined


def test_the_semantic_branch_joins_the_box_and_mask_features():
    model = tiny("htc")
    heads, maps, boxes = model.roi_heads, features(), [torch.tensor([[8.0, 8, 40, 40]])]
    semantic = heads.semantic(maps)
    assert semantic.logits.shape == (1, 14, 8, 8)  # stride 8
    joined, plain = (heads.box_features(maps, s, boxes) for s in (semantic, None))
    assert not torch.allclose(joined, plain)
    assert torch.allclose(joined - plain, semantic.pool(boxes, 7), atol=1e-5)
    averaged = F.adaptive_avg_pool2d(semantic.pool(boxes, 14), 7)  # as published
    assert torch.allclose(semantic.pool(boxes, 7), averaged, atol=1e-6)
    joined.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in heads.semantic.embedding.parameters())
    assert all(p.grad is None for p in heads.semantic.logits.parameters())


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


def test_htc_gives_masks_in_picture_size():
    model = tiny("htc").eval()
    for stage in model.roi_heads.stages:
        nn.init.constant_(stage.box_predictor["category"].bias[4:5], 5.0)
    with torch.inference_mode():
        (found,) = model([torch.rand(3, 80, 64)])
    assert len(found["boxes"]) > 0
    assert set(found["labels"].tolist()) == {4}
    assert found["masks"].shape == (len(found["boxes"]), 1, 80, 64)
    assert 0 <= float(found["masks"].min()) <= float(found["masks"].max()) <= 1
