"""Drawings: the right colour at the right place, and sizes that suit the image."""

import numpy as np
import pytest

from fashion_ops.reports.draw import (
    CENTER,
    LEFT,
    RIGHT,
    DrawnGarment,
    draw_garments,
    labelled_garment,
    side_by_side,
)
from fashion_ops.taxonomy import category

SKIRT = category("skirt")
GREY = 120


def skirt(score: float = 1.0) -> np.ndarray:
    names = SKIRT.landmark_names
    x = [200 if n.startswith("left_") else 500 if n.startswith("right_") else 350 for n in names]
    y = [150 + 55 * i for i in range(len(names))]
    return np.column_stack((x, y, np.full(len(names), score))).astype(float)


def blank(height: int = 700, width: int = 700) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def drawn(landmarks: np.ndarray, **kwargs) -> np.ndarray:
    garment = DrawnGarment(SKIRT.id, np.array([150.0, 100, 550, 600]), landmarks, **kwargs)
    return draw_garments(blank(), [garment], legend=False)


def test_sides_have_their_colours():
    image = drawn(skirt(), score=0.9)
    for name, (x, y, _) in zip(SKIRT.landmark_names, skirt().astype(int), strict=True):
        color = LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else CENTER
        assert tuple(image[y, x]) == color, name


def test_unsure_landmarks_are_hollow_and_absent_ones_are_left_out():
    hollow = drawn(skirt(score=0.1))
    for x, y, _ in skirt().astype(int):
        assert hollow[y, x].max() < 40
    absent = drawn(skirt(score=0))
    assert (absent[200:590, 160:540] == GREY).all()


def test_labels_show_occluded_landmarks_hollow():
    landmarks = skirt()
    landmarks[0, 2], landmarks[1, 2], landmarks[2, 2] = 1, 0, 2
    garment = labelled_garment(SKIRT.id, np.array([150, 100, 550, 600]), landmarks.ravel())
    assert garment.landmarks[0, 2] == pytest.approx(0.1)
    assert garment.landmarks[1:3, 2].tolist() == [0, 1]
    assert garment.score is None


def test_skeleton_connects_linked_landmarks():
    image = drawn(skirt())
    a, b = next((a, b) for a, b in SKIRT.links if skirt()[a, 0] == skirt()[b, 0])
    middle = (skirt()[a, :2] + skirt()[b, :2]).astype(int) // 2
    color = LEFT if middle[0] == 200 else RIGHT
    assert tuple(image[middle[1], middle[0]]) == color


@pytest.mark.parametrize(("height", "width"), [(64, 64), (256, 192), (1500, 1100), (20, 900)])
def test_small_images_are_enlarged(height, width):
    image = draw_garments(blank(height, width), [], legend=False)
    assert image.dtype == np.uint8
    assert image.shape[0] / image.shape[1] == pytest.approx(height / width, rel=0.02)
    if min(height, width) >= 640:
        assert image.shape == (height, width, 3)
    elif max(height, width) < 400:
        assert min(image.shape[:2]) == 640
    assert max(image.shape[:2]) <= 4096


def test_enlarging_keeps_landmarks_in_place():
    half = DrawnGarment(SKIRT.id, np.array([75.0, 50, 275, 300]), skirt() * (0.5, 0.5, 1))
    image = draw_garments(blank(350, 350), [half], legend=False)
    zoom = image.shape[0] / 350
    x, y = ((skirt()[0, :2] * 0.5 + 0.5) * zoom - 0.5).round().astype(int)
    assert tuple(image[y, x]) == LEFT


def test_input_is_untouched_and_far_coordinates_do_no_harm():
    image = blank()
    landmarks = skirt()
    landmarks[0, :2] = 1e9, -1e9
    garments = [DrawnGarment(SKIRT.id, np.array([-1e6, -50, 1e7, 90]), landmarks, 0.5)] * 3
    result = draw_garments(image, garments)
    assert (image == GREY).all()
    assert result.shape[0] > 700  # the legend stands below


def test_side_by_side():
    both = side_by_side(blank(100, 80), np.zeros((120, 80, 3), np.uint8))
    assert both.shape[0] > 120
    assert both.shape[1] > 160
    middle = both.shape[0] // 2
    assert (both[middle, 40] == GREY).all()
    assert (both[middle, -40] == 0).all()
