"""The three stages of Cascade R-CNN: one box for all categories, from the stage before, ever better."""

import pytest
import torch
from detection_networks import features, target
from torch import nn

from fashion_ops.methods.detection.cascade import IOUS, CascadeHeads, Stage, select_detections


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


def test_refined_boxes_stay_in_the_image():
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
    found = select_detections(boxes, scores, 0.05)
    assert found["labels"].tolist() == [5, 8]
    assert torch.equal(found["boxes"], boxes[:2])
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7])


def test_no_loss_of_a_stage_reaches_the_boxes_that_it_was_given():
    """Refined boxes carry no gradient, or stage 3's loss would train stage 1's regression."""
    heads = CascadeHeads(32, 16, 13, 8, hybrid=False)
    truth = target([[10, 10, 40, 40]], [3])
    losses = heads.losses(features(), None, [torch.tensor([[9.0, 9, 41, 42]])], [(64, 64)], [truth])
    losses["box3"].backward()
    assert heads.stages[0].box_predictor["box"].weight.grad is None
    assert heads.stages[2].box_predictor["box"].weight.grad.abs().sum() > 0
