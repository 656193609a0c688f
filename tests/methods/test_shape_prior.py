"""The shape prior against drawn shapes, against Gaussian conditioning written out, and on disk."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fashion_ops.methods.parts import shape_prior
from fashion_ops.methods.parts.shape_fit import LEAST_GARMENTS, fit_shape_prior, fit_shape_priors
from fashion_ops.methods.parts.shape_prior import (
    BOX_SCALE,
    BOX_SHIFT,
    FILE,
    ShapePrior,
    apply_priors,
    load_priors,
    peak_stds,
    posterior,
    save_priors,
)
from fashion_ops.taxonomy import category, load_grouping

SKIRT = category("skirt")
N = SKIRT.num_landmarks
RNG = np.random.default_rng(0)
MEAN = RNG.uniform(-0.4, 0.4, (N, 2)).astype(np.float32)
BASIS = RNG.normal(0, 0.05, (N, 2, 3)).astype(np.float32)
NOISE = RNG.uniform(0.008, 0.015, (N, 2)).astype(np.float32) ** 2
PRIOR = ShapePrior(MEAN, BASIS, NOISE)
BOX = np.array([20.0, 40.0, 120.0, 240.0])


def shapes(count, seed=1):
    """Shapes (count, n, 2) of the prior in the pixels of ``BOX``, and their boxes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 3))
    places = MEAN + (BASIS @ z.T).transpose(2, 0, 1) + rng.normal(size=(count, N, 2)) * np.sqrt(NOISE)
    middle, side = shape_prior.box_frames(BOX)
    return places * side + middle, np.repeat(BOX[None], count, 0)


def covariance(prior):
    """(2n, 2n) of the whole shape."""
    flat = prior.basis.reshape(2 * N, -1).astype(float)
    return flat @ flat.T + np.diag(prior.noise.astype(float).ravel())


def test_the_prior_of_drawn_shapes_is_found_with_a_third_of_the_labels_missing():
    points, boxes = shapes(3000)
    visible = np.random.default_rng(2).random(points.shape[:2]) < 2 / 3
    labels = np.concatenate([np.where(visible[..., None], points, 0), 2.0 * visible[..., None]], 2)
    found = fit_shape_prior(labels, boxes)
    assert found is not None
    np.testing.assert_allclose(found.mean, MEAN, atol=0.006)
    scale = np.sqrt(np.diag(covariance(PRIOR)))
    correlation = (covariance(found) - covariance(PRIOR)) / np.outer(scale, scale)
    assert np.abs(correlation).max() < 0.15
    without_mean = fit_shape_prior(np.concatenate([points, np.full((3000, N, 1), 2.0)], 2), boxes)
    assert without_mean is not None and without_mean.mean.dtype == np.float32


@pytest.mark.parametrize("detected", [False, True])
def test_without_outliers_it_is_gaussian_conditioning_written_out(monkeypatch, detected):
    monkeypatch.setattr(shape_prior, "FREEDOM", 1e12)  # Student's t becomes the normal distribution
    points, boxes = shapes(4)
    stds = np.random.default_rng(3).uniform(1, 8, (4, N))
    seen = points + np.random.default_rng(4).normal(size=points.shape) * stds[..., None]
    found = posterior(PRIOR, seen, stds, boxes, detected=detected)
    middle, side = shape_prior.box_frames(boxes)
    c = covariance(PRIOR)
    if detected:
        shift = np.tile(np.eye(2), (N, 1)) * BOX_SHIFT
        scale = BOX_SCALE * np.stack([MEAN * [1, 0], MEAN * [0, 1]], 2).reshape(2 * N, 2)
        c = c + shift @ shift.T + scale @ scale.T
    mean = MEAN.astype(float).ravel()
    for i in range(4):
        y = ((seen[i] - middle[i]) / side[i]).ravel()
        r = np.diag((stds[i][:, None] / side[i]).ravel() ** 2)
        gain = c @ np.linalg.inv(c + r)
        expected = (mean + gain @ (y - mean)).reshape(N, 2) * side[i] + middle[i]
        variances = np.diag(c - gain @ c).reshape(N, 2) * side[i] ** 2
        np.testing.assert_allclose(found.landmarks[i], expected, atol=1e-3)
        np.testing.assert_allclose(found.deviations[i], np.sqrt(variances.mean(1)), rtol=1e-4)


def test_a_landmark_that_contradicts_the_others_is_put_back_and_moves_none():
    points, boxes = shapes(50)
    stds = np.full((50, N), 2.0)
    seen = points + np.random.default_rng(5).normal(size=points.shape) * 2
    before = posterior(PRIOR, seen, stds, boxes, detected=False).landmarks
    seen[:, 3] += 60
    after = posterior(PRIOR, seen, stds, boxes, detected=False).landmarks
    others = np.arange(N) != 3
    assert np.linalg.norm(after - before, axis=-1)[:, others].mean() < 0.5
    assert np.linalg.norm(after[:, 3] - points[:, 3], axis=-1).mean() < 10


def test_a_detected_box_may_be_wrong_and_a_labelled_one_may_not():
    points, boxes = shapes(50)
    side = BOX[2:] - BOX[:2]
    stds = np.full((50, N), 3.0)
    moved = boxes + np.tile(0.06 * side, 2)  # the detector's box, beside the garment
    error = {
        detected: np.linalg.norm(
            posterior(PRIOR, points, stds, moved, detected=detected).landmarks - points, axis=-1
        ).mean()
        for detected in (False, True)
    }
    assert error[True] < 0.6 * error[False]


def test_the_deviations_say_how_far_the_landmarks_are_off():
    points, boxes = shapes(2000)
    stds = np.random.default_rng(6).uniform(1, 10, (2000, N))
    seen = points + np.random.default_rng(7).normal(size=points.shape) * stds[..., None]
    found = posterior(PRIOR, seen, stds, boxes, detected=False)
    z = (found.landmarks - points) / found.deviations[..., None]
    assert 0.93 < (np.abs(z) < 1.96).mean() < 0.99
    assert (found.deviations < stds).mean() > 0.95


def test_the_peak_says_how_sure_a_map_is():
    """A Gaussian of deviation 2 blurred by 1.5 has a peak of 2.25 / 6.25 of that of the target."""
    blurred, sharp = peak_stds(np.array([2.25 / 6.25, 1.0]), 1.5)
    assert blurred == pytest.approx(np.hypot(2.0 * shape_prior.SHARE**0.5, shape_prior.LEAST_STD))
    assert shape_prior.LEAST_STD < sharp < 0.3


def test_a_category_of_few_garments_has_no_prior_and_an_unlabelled_landmark_none_of_its_own():
    points, boxes = shapes(LEAST_GARMENTS)
    labels = np.concatenate([points, np.full((len(points), N, 1), 2.0)], 2)
    assert fit_shape_prior(labels[1:], boxes[1:]) is None
    labels[:, 5, 2] = 0
    found = fit_shape_prior(labels, boxes)
    assert found is not None and (found.noise[5] == 1).all() and (found.basis[5] == 0).all()
    stds = np.full(points.shape[:2], 2.0)
    after = posterior(found, points, stds, boxes, detected=False)
    np.testing.assert_allclose(after.landmarks[:, 5], points[:, 5], atol=0.05)
    labels[0, :, 2] = 0
    assert fit_shape_prior(labels, boxes) is None


def test_garments_of_categories_without_a_prior_stay_as_they_are():
    points, boxes = shapes(3)
    poses = [np.concatenate([p, np.full((N, 1), 0.5)], 1).astype(np.float32) for p in points]
    vest = np.zeros((category("vest").num_landmarks, 3), np.float32)
    ids = np.array([9, 5, 9])
    mixed = [poses[0], vest, poses[2]]
    stds = [np.full(len(pose), 4.0) for pose in mixed]
    landmarks, deviations = apply_priors({9: PRIOR}, mixed, stds, boxes, ids, detected=False)
    assert landmarks[1] is vest and len(deviations[1]) == 0
    assert (landmarks[2][:, 2] == 0.5).all() and (landmarks[2][:, :2] != poses[2][:, :2]).any()
    assert landmarks[0].dtype == deviations[0].dtype == np.float32 and deviations[0].shape == (N,)
    same, none = apply_priors({}, poses, stds, boxes, ids, detected=True)
    assert same == poses and not any(map(len, none))


def test_priors_of_a_folder_are_those_that_were_saved_bit_for_bit(tmp_path):
    points, boxes = shapes(LEAST_GARMENTS)
    grouping = load_grouping("agg81")
    labels = grouping.group(9, np.concatenate([points, np.full((len(points), N, 1), 2.0)], 2))
    ids = np.full(len(points), 9)
    priors = fit_shape_priors(grouping, ids, boxes, labels)
    save_priors(tmp_path, priors)
    first = (tmp_path / FILE).read_bytes()
    save_priors(tmp_path, fit_shape_priors(grouping, ids, boxes, labels))
    assert (tmp_path / FILE).read_bytes() == first
    loaded = load_priors(tmp_path)
    assert list(loaded) == list(priors) == [9]
    for part in ("mean", "basis", "noise"):
        assert np.array_equal(getattr(loaded[9], part), getattr(priors[9], part))


def test_a_file_of_other_priors_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"shape_prior\.safetensors: is missing"):
        load_priors(tmp_path)
    save_priors(tmp_path, {9: PRIOR})
    arrays = load_file(tmp_path / FILE)
    for change in (
        {"skirt.mean": MEAN[:-1]},
        {"skirt.noise": NOISE * np.float32("nan")},
        {"skirt.basis": None},
    ):
        save_file({k: v for k, v in (arrays | change).items() if v is not None}, tmp_path / FILE)
        with pytest.raises(ValueError, match=r"holds no shape prior of skirt with its 8 landmarks"):
            load_priors(tmp_path)
