"""The score from which on garments are reported, against cases worked out by hand."""

import numpy as np
import pytest

from fashion_ops.evaluation.instances import GroundTruth
from fashion_ops.evaluation.threshold import best_threshold, right_detections


def truth(*rows):
    """Garments (image, category, x, y, width, height)."""
    table = np.array(rows, float)
    n = len(table)
    return GroundTruth(
        image_ids=np.unique(table[:, 0]),
        category_ids=np.arange(1, 14),
        ids=np.arange(1, n + 1),
        image=table[:, 0].astype(int),
        category=table[:, 1].astype(int),
        boxes=table[:, 2:],
        area=np.ones(n),
        crowd=np.zeros(n, bool),
        ignored=np.zeros(n, bool),
        keypoints=np.zeros((n, 294, 3)),
    )


def test_a_detection_is_right_once_and_on_a_garment_of_its_category():
    labelled = truth((1, 1, 0, 0, 10, 10), (1, 8, 0, 10, 10, 10), (2, 1, 0, 0, 10, 10))
    image = np.array([1, 1, 1, 2, 2])
    category = np.array([1, 1, 1, 1, 1])
    boxes = np.array(
        [(0, 0, 10, 9), (0, 0, 10, 10), (0, 10, 10, 20), (0, 0, 10, 4), (0, 0, 10, 5.5)], np.float32
    )
    scores = np.array([0.4, 0.9, 0.8, 0.7, 0.6])
    right = right_detections(labelled, image, category, boxes, scores)
    # the second takes the garment before the first; the third lies on trousers; the fourth is too small
    assert right.tolist() == [False, True, False, False, True]


def test_the_threshold_has_the_best_f1():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.3])
    right = np.array([True, True, False, True, False])
    chosen = best_threshold(scores, right, 4)  # F1 of 1 to 5 detections: 2/5, 4/6, 4/7, 6/8, 6/9
    assert chosen is not None and chosen.score == pytest.approx(0.45)
    assert chosen.precision == pytest.approx(0.75) and chosen.recall == pytest.approx(0.75)


def test_the_order_of_the_detections_does_not_matter_and_the_last_may_be_kept():
    scores, right = np.array([0.2, 0.9, 0.5]), np.array([True, True, True])
    chosen = best_threshold(scores, right, 3)
    assert chosen is not None and chosen.score == pytest.approx(0.1) and chosen.recall == 1


def test_without_a_right_detection_there_is_no_threshold():
    assert best_threshold(np.array([0.9]), np.array([False]), 2) is None
    assert best_threshold(np.zeros(0), np.zeros(0, bool), 2) is None
