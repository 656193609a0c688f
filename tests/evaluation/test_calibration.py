"""Calibration of scores and deviations, against distributions that are known."""

import math

import numpy as np
import pytest

from fashion_ops.evaluation.calibration import (
    calibration_error,
    fit_score_temperature,
    fit_std_temperature,
    near_radius,
    score_bins,
    std_bins,
    temper_scores,
)
from fashion_ops.taxonomy import category

RNG = np.random.default_rng(0)


def test_the_radius_is_where_a_landmarks_similarity_is_a_half():
    skirt = category("skirt")
    (radii,) = near_radius(skirt.id, np.array([5000.0]))
    similarity = np.exp(-(radii**2) / (2 * 5000 * (2 * skirt.sigmas) ** 2))
    np.testing.assert_allclose(similarity, 0.5)


def test_one_temperature_mends_scores_that_are_too_sure():
    """True probabilities whose logits were tripled: a temperature of 3 brings them back."""
    truth = RNG.uniform(0.05, 0.95, 40_000)
    near = RNG.uniform(size=truth.size) < truth
    logit = 3 * np.log(truth / (1 - truth))
    sure = 1 / (1 + np.exp(-logit))
    temperature = fit_score_temperature(sure, near)
    assert temperature == pytest.approx(3, rel=0.05)
    before, after = (
        calibration_error(score_bins(s, near)) for s in (sure, temper_scores(sure, temperature))
    )
    assert before > 0.1 and after < 0.01
    assert (np.argsort(temper_scores(sure, temperature)) == np.argsort(sure)).all()


def test_one_temperature_mends_deviations_that_are_too_small():
    """Round normal errors of deviation s, announced as s / 2."""
    stds = RNG.uniform(1, 8, 20_000)
    distances = np.linalg.norm(RNG.normal(size=(20_000, 2)), axis=1) * stds / math.sqrt(2)
    temperature = fit_std_temperature(stds / 2, distances)
    assert temperature == pytest.approx(2, rel=0.03)
    bins = std_bins(temperature * stds / 2, distances)
    assert len(bins) == 10 and sum(b.count for b in bins) == 20_000
    assert bins[0].predicted < 2 < 7 < bins[-1].predicted
    for b in bins:
        assert b.measured == pytest.approx(b.predicted, rel=0.08)


def test_bins_by_hand_and_of_nothing():
    bins = score_bins(np.array([0.12, 0.18, 1.0]), np.array([True, False, True]))
    assert [(b.predicted, b.measured, b.count) for b in bins] == [
        (pytest.approx(0.15), 0.5, 2),
        (1.0, 1.0, 1),
    ]
    assert calibration_error(bins) == pytest.approx((2 * 0.35 + 0) / 3)
    assert score_bins(np.zeros(0), np.zeros(0, bool)) == [] and calibration_error([]) == 0
    assert fit_score_temperature(np.zeros(0), np.zeros(0, bool)) == 1
    assert fit_std_temperature(np.zeros(0), np.zeros(0)) == 1


def test_a_method_on_garments_by_hand():
    """A near landmark, one too far, and one without a label, which does not count."""
    import pandas as pd

    from fashion_ops.evaluation.calibration import ScoredPoints, reliability

    skirt = category("skirt")
    truth = np.zeros((8, 3))
    truth[:2, 2] = 2
    far = float(near_radius(skirt.id, np.array([100.0 * 50]))[0, 1])
    found = np.zeros((8, 3))
    found[0], found[1], found[2] = (0.1, 0, 0.9), (1.01 * far, 0, 0.3), (99, 0, 0.5)
    garments = pd.DataFrame(
        {"garment_id": [4], "category_id": [9], "landmarks": [truth.ravel()], "box": [[0, 0, 100, 50]]}
    )
    predictions = pd.DataFrame({"garment_id": [4], "landmarks": [found.ravel()]})
    points = ScoredPoints.of(garments, predictions)
    assert points.scores.tolist() == [0.9, 0.3] and points.near.tolist() == [True, False]
    alone = reliability(points)
    assert alone.temperature is None and alone.tempered_error is None
    assert alone.error == pytest.approx((0.1 + 0.3) / 2)
    fitted = reliability(points, points)
    assert fitted.temperature < 1 and fitted.tempered_error < alone.error
    assert len(ScoredPoints.of(garments, predictions.head(0)).scores) == 0


def test_held_out_images_stay_held_out():
    from fashion_ops.catalog.training_data import held_out

    ids = np.arange(1, 5001)
    drawn = held_out(ids, 0.1)
    assert 0.08 < drawn.mean() < 0.12
    np.testing.assert_array_equal(held_out(ids[:300], 0.1), drawn[:300])
    np.testing.assert_array_equal(held_out(np.array([7, 7, 9]), 0.1), drawn[[6, 6, 8]])
    assert held_out(ids, 0.2)[drawn].all() and not held_out(ids, 0.0).any()
