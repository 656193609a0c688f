"""Crop geometry, against hand-worked numbers and a round trip through pixels."""

import cv2
import numpy as np
import pytest

from fashion_ops.methods.parts.crops import apply_matrices, crop_matrices, cut, invert_matrices


def test_a_worked_crop():
    """A 40x80 box, 3:4 crop: height decides; 80 * 1.25 px become 128 px around the box centre."""
    matrix = crop_matrices(np.array([[100, 50, 140, 130]]), (96, 128), 1.25)
    assert matrix[0, 0, 0] == pytest.approx(128 / 100)
    center = apply_matrices(matrix, np.array([[[120.0, 90.0]]]))[0, 0]
    np.testing.assert_allclose(center, [47.5, 63.5])
    corners = apply_matrices(matrix, np.array([[[100.0, 50.0], [140.0, 130.0]]]))[0]
    np.testing.assert_allclose(corners, [[47.5 - 25.6, 63.5 - 51.2], [47.5 + 25.6, 63.5 + 51.2]])


def test_inverse_brings_points_back():
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 100, (20, 2))
    boxes = np.concatenate([start, start + rng.uniform(5, 200, (20, 2))], 1)
    matrices = crop_matrices(boxes, (96, 128), 1.25)
    points = rng.uniform(-50, 300, (20, 7, 2))
    back = apply_matrices(invert_matrices(matrices), apply_matrices(matrices, points))
    np.testing.assert_allclose(back, points, atol=1e-9)


@pytest.mark.parametrize("side", [30, 120, 700])  # enlarged, about as is, much reduced
def test_pixels_go_where_points_go(side):
    """A blob drawn in the image appears in the crop where the matrix sends its centre."""
    image = np.zeros((900, 900, 3), np.uint8)
    at = np.array([300 + 0.3 * side, 200 + 0.4 * side])
    radius = max(2, side // 25)
    cv2.circle(image, tuple(int(v) for v in at.round()), radius, (255, 255, 255), -1)
    matrix = crop_matrices(np.array([[300, 200, 300 + side, 200 + side]]), (96, 128), 1.25)
    crop = cut(image, matrix[0], (96, 128))[:, :, 0].astype(float)
    ys, xs = np.mgrid[:128, :96]
    found = np.array([(crop * xs).sum(), (crop * ys).sum()]) / crop.sum()
    wanted = apply_matrices(matrix, at.round()[None, None])[0, 0]
    np.testing.assert_allclose(found, wanted, atol=0.15)


def test_outside_the_image_is_black():
    image = np.full((50, 50, 3), 200, np.uint8)
    matrix = crop_matrices(np.array([[-40, -40, 20, 20]]), (64, 64), 1.0)
    crop = cut(image, matrix[0], (64, 64))
    assert crop[:20, :20].max() == 0
    assert crop[60, 60, 0] == 200


def test_degenerate_box_is_survived():
    matrix = crop_matrices(np.array([[10.0, 10.0, 10.0, 10.0]]), (96, 128), 1.25)
    assert np.isfinite(matrix).all()
