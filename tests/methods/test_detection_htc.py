"""What HTC adds: mask features that flow, masks on refined boxes, the semantic branch."""

import pytest
import torch
from detection_networks import features, target, tiny
from torch import nn
from torch.nn import functional as F

from fashion_ops.methods.detection.cascade import CascadeHeads, Stage
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN

COCO = 80


@pytest.fixture(scope="module")
def published() -> CascadeRCNN:
    """ResNet-50 on 80 categories, without memory."""
    with torch.device("meta"):
        return CascadeRCNN(Architecture(), num_categories=COCO)


class _Fixed(Stage):
    """A stage that regresses what it is told and is sure of category 1 + number."""

    number: int
    deltas: torch.Tensor

    def forward(self, pooled):
        logits = torch.zeros(len(pooled), 14)
        logits[:, 1 + self.number] = 8.0
        return logits, self.deltas.expand(len(pooled), 4)


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


def test_htc_gives_masks_in_image_size():
    model = tiny("htc").eval()
    for stage in model.roi_heads.stages:
        nn.init.constant_(stage.box_predictor["category"].bias[4:5], 5.0)
    with torch.inference_mode():
        (found,) = model([torch.rand(3, 80, 64)])
    assert len(found["boxes"]) > 0
    assert set(found["labels"].tolist()) == {4}
    assert found["masks"].shape == (len(found["boxes"]), 1, 80, 64)
    assert 0 <= float(found["masks"].min()) <= float(found["masks"].max()) <= 1
