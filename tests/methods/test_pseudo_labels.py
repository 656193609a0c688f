"""Pseudo-labels against scikit-learn, a hand-worked case, and the real landmarks of FLD."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from fashion_ops.methods.parts.pseudo_labels import distances, fit_centers, soft_labels, to_frame

FLD = Path(__file__).parents[2].parent / "shared" / "samples" / "fld"


def blobs(rng, centers, each=60, spread=3.0):
    points = np.repeat(centers, each, axis=0) + rng.normal(
        0, spread, (each * len(centers), *centers.shape[1:])
    )
    return points, np.repeat(np.arange(len(centers)), each)


def test_the_frame_is_the_letterboxed_box():
    box = np.array([[10.0, 20.0, 110.0, 220.0]])
    points = np.array([[[10, 20], [110, 220], [60, 120], [110, 20]]], float)
    # 100 x 200 -> scale 1.12, 112 wide, centred between 56 and 168
    np.testing.assert_allclose(
        to_frame(points, box)[0], [[56, 0], [168, 224], [112, 112], [168, 0]], atol=1e-9
    )


def test_distances_are_euclidean_where_all_is_observed():
    rng = np.random.default_rng(0)
    points, centers = rng.uniform(0, 224, (50, 7, 2)), rng.uniform(0, 224, (4, 7, 2))
    expected = np.linalg.norm(points.reshape(50, 1, -1) - centers.reshape(1, 4, -1), axis=2)
    np.testing.assert_allclose(distances(points, np.ones((50, 7), bool), centers), expected)


def test_missing_landmarks_are_masked_and_rescaled():
    points = np.array([[[3.0, 4.0], [1e6, -1e6], [np.nan, 7.0]]])
    observed = np.array([[True, False, False]])
    # 2 of 6 dimensions observed, at distance 5
    assert distances(points, observed, np.zeros((1, 3, 2)))[0, 0] == pytest.approx(5 * np.sqrt(3))


def test_soft_labels_by_hand():
    labels = soft_labels(np.array([[0.0, 20.0 * np.log(2)], [1e5, 1e5]]), 20)
    np.testing.assert_allclose(labels, [[2 / 3, 1 / 3], [0.5, 0.5]])


def test_separate_clusters_are_found_largest_first():
    rng = np.random.default_rng(1)
    truth = rng.uniform(20, 200, (5, 9, 2))
    points, labels = blobs(rng, truth)
    rows = np.concatenate([np.flatnonzero(labels == j)[: 60 - 10 * j] for j in range(5)])
    found = fit_centers(points[rows], np.ones((len(rows), 9), bool), 5, seed=3)
    np.testing.assert_allclose(found, truth, atol=2.5)


def test_missing_landmarks_do_not_pull_the_centers():
    rng = np.random.default_rng(2)
    truth = rng.uniform(20, 200, (4, 10, 2))
    points, labels = blobs(rng, truth, each=200)
    observed = rng.random(points.shape[:2]) > 0.4
    points[~observed] = 0  # as the data set fills them
    found = fit_centers(points, observed, 4, seed=0)
    nearest = distances(truth, np.ones((4, 10), bool), found)
    assert nearest.min(axis=1).max() < 5
    assert (
        distances(points, observed, found).argmin(axis=1) == nearest.argmin(axis=1)[labels]
    ).mean() > 0.99


def test_as_good_as_scikit_learn_on_complete_data():
    rng = np.random.default_rng(4)
    points = rng.normal(100, 40, (3000, 6, 2))
    whole = np.ones((3000, 6), bool)
    ours = (distances(points, whole, fit_centers(points, whole, 20, 0)).min(axis=1) ** 2).sum()
    theirs = KMeans(20, n_init=1, random_state=0).fit(points.reshape(3000, -1)).inertia_
    assert ours == pytest.approx(theirs, rel=0.02)


def test_the_seed_decides():
    points = np.random.default_rng(5).uniform(0, 224, (500, 6, 2))
    whole = np.ones((500, 6), bool)
    first, again, other = (fit_centers(points, whole, 8, seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_fewer_configurations_than_clusters():
    points = np.array([[[1.0, 1.0]], [[1.0, 1.0]], [[9.0, 9.0]], [[5.0, 5.0]]])
    observed = np.array([[True], [True], [True], [False]])
    np.testing.assert_array_equal(fit_centers(points, observed, 20, 0), [[[1, 1]], [[9, 9]]])
    assert fit_centers(points, np.zeros((4, 1), bool), 20, 0).shape == (0, 1, 2)


def test_a_landmark_nobody_shows_stands_in_the_middle():
    points = np.zeros((10, 2, 2))
    observed = np.tile([True, False], (10, 1))
    np.testing.assert_array_equal(fit_centers(points, observed, 3, 0), [[[0, 0], [112, 112]]])


def fld(name):
    """Upper-body landmarks without truncated ones, in the frame of a box 1.25 times their extent."""
    table = pd.read_csv(FLD / name)
    points = (
        table[[c for c in table if c.endswith(("_x", "_y"))]].to_numpy(float).reshape(len(table), 6, 2)
    )
    points = points[(points > 0).all(axis=(1, 2))]
    low, high = points.min(axis=1), points.max(axis=1)
    margin = (high - low) * 0.125
    return to_frame(points, np.concatenate([low - margin, high + margin], axis=1))


def test_temperature_on_real_landmarks():
    """T = 1 is hard and T = 20 soft only in 224-px units: perplexity 1.0 and 5.6 of 20 on FLD."""
    if not FLD.is_dir():
        pytest.skip("../shared/samples is missing")
    train, val = fld("fld_upper_train.csv")[::2], fld("fld_upper_val.csv")
    centers = fit_centers(train, np.ones(train.shape[:2], bool), 20, seed=0)
    d = distances(val, np.ones(val.shape[:2], bool), centers)

    def perplexity(labels):
        return np.exp(-(labels * np.log(np.maximum(labels, 1e-30))).sum(axis=1)).mean()

    assert perplexity(soft_labels(d, 1)) == pytest.approx(1.0, abs=0.12)
    assert perplexity(soft_labels(d, 20)) == pytest.approx(5.6, abs=0.4)
    assert perplexity(soft_labels(d / 224, 1)) == pytest.approx(19.6, abs=0.4)
