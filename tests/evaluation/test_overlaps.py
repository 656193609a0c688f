import numpy as np
import torch
from torchvision.ops import box_iou

from fashion_ops.evaluation.overlaps import overlaps


def test_overlaps_are_those_of_torchvision():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 10, (40, 2, 2)), axis=1).reshape(40, 4)
    others = np.vstack([boxes[:7], np.sort(rng.uniform(0, 10, (12, 2, 2)), axis=1).reshape(12, 4)])
    expected = box_iou(torch.from_numpy(boxes), torch.from_numpy(others)).numpy()
    np.testing.assert_allclose(overlaps(boxes, others), expected, atol=1e-12)


def test_an_empty_box_overlaps_itself_only():
    empty, box = np.array([[3.0, 3, 3, 3]]), np.array([[0.0, 0, 5, 5]])
    assert overlaps(empty, empty) == 1
    assert overlaps(empty, box) == 0
    assert overlaps(empty, np.zeros((0, 4))).shape == (1, 0)
