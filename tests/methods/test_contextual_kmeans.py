"""K-means on outer products that are never built, against scikit-learn on the built ones."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans

from fashion_ops.catalog.alignment.landmark_table import read_landmark_table
from fashion_ops.methods.parts.contextual_kmeans import (
    OuterProducts,
    contextual_distances,
    fit_contextual,
)
from fashion_ops.methods.parts.frames import letterbox
from fashion_ops.methods.parts.pseudo_labels import temperature_of

FLD = Path(__file__).parents[2].parent / "shared" / "samples" / "fld"


def built(left, right):
    u, v = left.reshape(len(left), -1), right.reshape(len(right), -1)
    return np.einsum("nd,ne->nde", u, v)


@pytest.mark.skipif(not FLD.is_dir(), reason="../shared/samples is missing")
def test_the_centres_of_scikit_learn_on_real_rows():
    """d = 12: offsets from the mean shape times configurations, the same initial centres."""
    table = read_landmark_table(FLD / "fld_upper_train.csv")
    whole = (table.visibility > 0).all(axis=1)
    points = letterbox(table.box[whole], 1.0, centered=True).apply(table.xy[whole])[:2000]
    offsets = points.mean(axis=0) - points
    products = built(offsets, points).reshape(len(points), -1)
    initial = products[np.random.default_rng(0).choice(len(points), 20, replace=False)]
    theirs = KMeans(20, init=initial, n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(products)
    ours = fit_contextual(offsets, points, None, 20, 0, initial=initial.reshape(-1, 12, 12))
    np.testing.assert_allclose(ours.reshape(20, -1), theirs.cluster_centers_, atol=1e-9)
    assert theirs.n_iter_ > 5
    labels = contextual_distances(offsets, points, None, ours).argmin(axis=1)
    np.testing.assert_array_equal(labels, theirs.labels_)


def test_distances_are_those_of_the_built_matrices():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 30, 4, 2))
    observed = rng.random((30, 4)) < 0.7
    observed[:, 0] = True
    centers = rng.normal(size=(5, 8, 8))
    mask = np.repeat(observed, 2, axis=1)
    pairs = mask[:, :, None] & mask[:, None, :]
    gaps = (built(left, right)[:, None] - centers) ** 2 * pairs[:, None]
    expected = np.sqrt(gaps.sum(axis=(2, 3)) * (64 / pairs.sum(axis=(1, 2)))[:, None])
    np.testing.assert_allclose(contextual_distances(left, right, observed, centers), expected)
    every = np.sqrt(((built(left, right)[:, None] - centers) ** 2).sum(axis=(2, 3)))
    np.testing.assert_allclose(contextual_distances(left, right, None, centers), every)


def test_the_mean_minimises_the_masked_distance():
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(2, 40, 3, 2))
    observed = rng.random((40, 3)) < 0.8
    observed[:, 1] = True
    space = OuterProducts.from_landmarks(left, right, observed)
    mean = space.mean(np.ones(40, bool), space.middle())
    least = space.squared(mean[None]).sum()
    for _ in range(20):
        assert space.squared((mean + rng.normal(0, 0.05, mean.shape))[None]).sum() > least


def test_missing_landmarks_do_not_pull_the_centers():
    rng = np.random.default_rng(2)
    left, right = rng.normal(1, 0.01, (2, 200, 3, 2))
    observed = rng.random((200, 3)) < 0.6
    left[~observed], right[~observed] = 1e6, -1e6
    centers = fit_contextual(left, right, observed, 1, 0)
    np.testing.assert_allclose(centers, np.ones((1, 6, 6)), atol=0.02)


def test_temperature_follows_the_scale():
    d = np.array([[1.0, 9], [4, 2], [30, 6]])
    assert temperature_of(d) == pytest.approx(0.9)
    assert temperature_of(d * 224) == pytest.approx(0.9 * 224)
