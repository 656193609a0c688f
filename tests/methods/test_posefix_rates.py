"""Rates of pose errors measured from predictions, and detections matched to labelled garments."""

import numpy as np
import pandas as pd
import pytest
import torch

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.posefix.detected import match_poses
from fashion_ops.methods.posefix.error_rates import UNKNOWN, classify_errors, count_rates, measure_rates
from fashion_ops.methods.posefix.errors import (
    GOOD,
    INVERSION,
    JITTER,
    MISS,
    SWAP,
    ks_distance,
    synthesize_errors,
)
from fashion_ops.taxonomy import category

SKIRT = category("skirt")
SIGMAS = torch.from_numpy(SKIRT.sigmas).float()
MIRROR = torch.from_numpy(SKIRT.mirror())
AREA = 6400.0
POINTS = torch.tensor(
    [[10.0, 20], [50, 20], [90, 20], [8, 60], [5, 110], [50, 115], [95, 110], [92, 60]]
)


def skirts(n: int, crowded: bool) -> tuple[torch.Tensor, torch.Tensor]:
    truth = torch.cat([POINTS, torch.full((8, 1), 2.0)], 1).expand(n, 8, 3)
    neighbour = truth.clone()
    neighbour[..., :2] += torch.tensor([30.0, 12.0])
    neighbour[..., 2] *= crowded
    return truth, neighbour


def test_types_by_hand():
    """A landmark moved to just within and just beyond the rings; the waist's left end is number 0."""
    truth, neighbour = skirts(7, crowded=True)
    d85, d50 = (float(ks_distance(torch.tensor([AREA]), SIGMAS[:1], ks)) for ks in (0.85, 0.5))
    predicted = POINTS.expand(7, 8, 2).clone()
    offsets = [0, 0.99 * d85, 1.01 * d85, 0.99 * d50]
    for row, offset in enumerate(offsets):
        predicted[row, 0, 0] -= offset
    predicted[4, 0] = POINTS[2] + torch.tensor([1.0, 0])  # the right end
    predicted[5, 0] = neighbour[5, 0, :2]
    predicted[6, 0] = torch.tensor([10.0, 90.0])
    predicted[6, 1] = float("nan")
    types = classify_errors(predicted, truth, neighbour, torch.full((7,), AREA), SIGMAS, MIRROR)
    assert types[:, 0].tolist() == [GOOD, GOOD, JITTER, JITTER, INVERSION, SWAP, MISS]
    assert types[6, 1] == UNKNOWN and (types[:6, 1:] == GOOD).all()
    hidden = truth.clone()
    hidden[..., 2] = 0
    types = classify_errors(predicted, hidden, neighbour, torch.full((7,), AREA), SIGMAS, MIRROR)
    assert (types == UNKNOWN).all()


@pytest.mark.parametrize("crowded", [False, True], ids=["alone", "crowded"])
def test_synthetic_errors_are_measured_at_the_rates_they_were_made_with(crowded):
    truth, neighbour = skirts(3000, crowded)
    rates = torch.tensor([0.4, 0.25, 0.1, 0.1, 0.15]).expand(8, 5)
    area, labelled = torch.full((3000,), AREA), torch.ones(3000, 8, dtype=torch.bool)
    made = synthesize_errors(
        truth[..., :2],
        labelled,
        neighbour,
        area,
        SIGMAS,
        MIRROR,
        rates.expand(3000, 8, 5),
        torch.Generator().manual_seed(0),
    )
    types = classify_errors(made.points, truth, neighbour, area, SIGMAS, MIRROR)
    measured = count_rates(types, torch.full((3000, 8), float(crowded)), rates)
    paired = torch.arange(8) != MIRROR
    assert torch.allclose(measured[paired], rates[paired], atol=0.03)
    assert torch.allclose(measured.sum(1), torch.ones(8))


def test_a_better_model_is_measured_as_such_by_category():
    rng = np.random.default_rng(0)
    truth, _ = (part.numpy() for part in skirts(200, crowded=False))
    boxes = np.tile(np.array([[5.0, 20, 95, 115]]), (200, 1))
    garments = TrainingGarments(np.arange(200), np.full(200, 9), boxes, truth, np.zeros((200, 0)))
    poses = [truth + rng.normal(0, (s, s, 0), truth.shape).astype(np.float32) for s in (1, 8)]
    good, bad = (measure_rates(p, garments, truth, SKIRT) for p in poses)
    assert (good[:, GOOD] > bad[:, GOOD]).all() and (good[:, MISS] < bad[:, MISS]).all()


def test_a_detection_goes_to_the_free_garment_that_it_overlaps_most():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 10]], float)
    garments = TrainingGarments(
        np.array([7, 7, 8]), np.full(3, 9), boxes, np.zeros((3, 8, 3)), np.zeros((3, 0))
    )

    def detection(image_id: int, category_id: int, score: float, box: list[float]) -> tuple:
        return image_id, category_id, score, np.array(box, np.float32), np.full(24, score, np.float32)

    rows = [
        detection(7, 9, 0.5, [0, 0, 10, 9]),
        detection(7, 9, 0.9, [0, 1, 10, 10]),  # better score: takes the first garment
        detection(7, 9, 0.8, [20, 0, 24, 10]),  # IoU 0.4 with the second one
        detection(8, 8, 0.9, [0, 0, 10, 10]),  # another category
    ]
    columns = ["image_id", "category_id", "score", "box", "landmarks"]
    poses = match_poses(garments, pd.DataFrame(rows, columns=columns), 8)
    assert poses.shape == (3, 8, 3)
    np.testing.assert_allclose(poses[0], 0.9, rtol=1e-6)
    assert np.isnan(poses[1:]).all()
