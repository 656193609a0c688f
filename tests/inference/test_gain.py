"""Which photos teach most: uncertainty of heatmaps, distance of shapes, the greedy order."""

import numpy as np
import pytest
import torch

from fashion_ops.inference.gain import NOTHING, rank_by_gain, shape_embedding
from fashion_ops.inference.selection import peak_uncertainty, rank_seen, seen_garments
from fashion_ops.taxonomy import category


def gaussian(cells, *peaks):
    """A heatmap (1, 1, n, n) of peaks (x, y, height)."""
    y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    maps = [h * torch.exp(-((x - px) ** 2 + (y - py) ** 2) / 4.5) for px, py, h in peaks]
    return torch.stack(maps).amax(0)[None, None]


def test_the_uncertainty_of_a_heatmap_is_the_entropy_of_its_peaks_and_what_the_highest_lacks():
    def of(*peaks):
        return float(peak_uncertainty(gaussian(32, *peaks))[0, 0])

    assert of((8, 8, 1.0)) == pytest.approx(0, abs=1e-3)
    assert of((8, 8, 0.4)) == pytest.approx(0.6, abs=1e-3)
    assert of((8, 8, 1.0), (24, 24, 1.0)) == pytest.approx(np.log(2), abs=1e-3)
    shares = np.array([0.8, 0.4]) / 1.2
    entropy = -(shares * np.log(shares)).sum()
    assert of((8, 8, 0.8), (24, 20, 0.4)) == pytest.approx(entropy + 0.2, abs=1e-3)
    assert of((8, 8, 0.8), (24, 20, 0.04)) == pytest.approx(0.2, abs=1e-3)  # noise is no peak


def test_the_order_is_farthest_first_weighted_by_uncertainty():
    """Worked by hand: on a line at 0, 1, 5 and 6, of which 0 is labelled."""
    points = np.array([[1.0], [5.0], [6.0]])
    photo, even = np.arange(3), np.ones(3)
    ranked = rank_by_gain(photo, even, points, np.zeros((1, 1)))
    assert ranked.order.tolist() == [2, 0, 1] and ranked.gains.tolist() == [6, 1, 1]
    unsure = rank_by_gain(photo, np.array([9.0, 1, 1]), points, np.zeros((1, 1)))
    assert unsure.order.tolist() == [0, 2, 1] and unsure.gains.tolist() == [9, 5, 1]
    assert rank_by_gain(photo, np.array([1.0, 3, 2]), points, count=1).order.tolist() == [1]
    two = rank_by_gain(np.array([0, 0, 1]), even, np.array([[9.0], [1.0], [6.0]]), np.zeros((1, 1)))
    assert two.gains[0] == 6 and two.order.tolist() == [1, 0]  # the mean of 9 and 1 is less


def test_a_shape_is_the_same_at_any_place_and_size_and_another_category_is_apart():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(category("skirt").num_landmarks, 2))
    skirt = shape_embedding(category("skirt").id, points)
    assert np.allclose(skirt, shape_embedding(category("skirt").id, points * 7 + 300))
    turned = shape_embedding(category("skirt").id, points[:, ::-1])
    assert np.linalg.norm(skirt - turned) > 0.1
    vest = rng.normal(size=(category("vest").num_landmarks, 2))
    assert np.linalg.norm(skirt - shape_embedding(category("vest").id, vest)) >= 1


def test_of_many_photos_in_which_a_model_finds_nothing_one_comes_first_and_the_others_last():
    empty = [seen_garments([], []) for _ in range(5)]
    ranked = rank_seen(empty, np.stack([NOTHING + 1]))
    assert len(ranked.order) == 5 and ranked.gains[0] > 0 and not ranked.gains[1:].any()
    assert rank_seen([]).order.size == 0
