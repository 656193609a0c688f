import math

import pytest
import torch

from fashion_ops.methods.parts.heatmaps import one_hot_maps
from fashion_ops.methods.posefix.loss import coarse_to_fine


def test_one_hot_map_sums_to_one_and_expects_its_point():
    points = torch.tensor([[[3.25, 5.5], [0.0, 0.0], [10.9, 6.999], [11.0, 7.0]]])
    maps = one_hot_maps(points, (12, 8))
    assert maps.shape == (1, 4, 8, 12)
    assert torch.allclose(maps.sum((2, 3)), torch.ones(1, 4))
    xs, ys = torch.arange(12.0), torch.arange(8.0)
    expected = torch.stack([(maps.sum(2) * xs).sum(-1), (maps.sum(3) * ys).sum(-1)], -1)
    assert torch.allclose(expected, points, atol=1e-5)
    # by hand: (3.25, 5.5) gives 3/4 * 1/2 to (3, 5)
    assert maps[0, 0, 5, 3].item() == pytest.approx(0.375)
    assert ((maps > 0).sum((2, 3)) <= 4).all()


def test_one_hot_map_of_a_point_beyond_the_border_is_the_nearest_cell():
    maps = one_hot_maps(torch.tensor([[[-0.4, 7.4]]]), (12, 8))
    assert maps[0, 0, 7, 0] == 1 and maps.sum() == 1


def test_loss_by_hand():
    # One 2 x 2 map, logits ln 3 at (0, 0), else 0: p = (1/2, 1/6, 1/6, 1/6).
    # Soft-argmax: x = 1/6 + 1/6 = 1/3 = y. Truth (1, 0): cross entropy ln 6, L1 2/3 + 1/3 = 1.
    logits = torch.tensor([[[[math.log(3), 0.0], [0.0, 0.0]]]])
    coarse, fine = coarse_to_fine(logits, torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1))
    assert coarse.item() == pytest.approx(math.log(6), rel=1e-6)
    assert fine.item() == pytest.approx(1.0, rel=1e-6)


def test_unlabelled_landmarks_neither_count_nor_pull():
    logits = torch.randn(2, 3, 6, 4, requires_grad=True)
    points = torch.rand(2, 3, 2) * 3
    weight = torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    coarse, fine = coarse_to_fine(logits, points, weight)
    (coarse + fine).backward()
    assert logits.grad is not None
    moved = logits.grad.abs().sum((2, 3)) > 0
    assert torch.equal(moved, weight > 0)
    keep = weight > 0
    same = coarse_to_fine(logits[keep][None], points[keep][None], torch.ones(1, 3))
    assert torch.allclose(torch.stack([coarse, fine]), torch.stack(same))


def test_nothing_labelled_is_zero():
    coarse, fine = coarse_to_fine(torch.randn(1, 2, 4, 4), torch.zeros(1, 2, 2), torch.zeros(1, 2))
    assert coarse == 0 and fine == 0
