"""Frames: exact inverses, equal to the release's letterbox and to eq. 5, and their images agree."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_ops.methods.parts.frames import (
    box_frame,
    cut,
    letterbox,
)

side_length = st.floats(1, 5000)
corner = st.floats(-2000, 2000)
boxes = st.tuples(corner, corner, side_length, side_length).map(
    lambda b: np.array([[b[0], b[1], b[0] + b[2], b[1] + b[3]]])
)
points = st.lists(st.tuples(corner, corner), min_size=1, max_size=14).map(lambda p: np.array([p]))


@settings(max_examples=60, deadline=None)
@given(boxes, points)
def test_every_frame_is_undone_exactly(box, xy):
    for frame in (letterbox(box), letterbox(box, 1.0, centered=True), box_frame(box)):
        extent = np.abs(xy).max() + np.abs(box).max()
        np.testing.assert_allclose(frame.invert(frame.apply(xy)), xy, atol=1e-11 * extent, rtol=0)
        moved = frame.apply(xy + 3.5) - frame.apply(xy)
        np.testing.assert_allclose(
            moved,
            np.broadcast_to(3.5 * frame.scale[:, None], xy.shape),
            atol=1e-9 * (1 + np.abs(moved).max() * extent),
        )


@settings(max_examples=60, deadline=None)
@given(boxes)
def test_the_box_fills_the_square_and_stays_whole(box):
    corners = box.reshape(1, 2, 2)
    inside = letterbox(box, 224).apply(corners)
    assert inside.min() >= -1e-6 and inside.max() <= 224 + 1e-6
    assert np.ptp(inside, axis=1).max() == pytest.approx(224)
    np.testing.assert_allclose(inside.mean(axis=1), 112, atol=1e-6)
    np.testing.assert_allclose(box_frame(box).apply(corners), [[[-0.5, -0.5], [0.5, 0.5]]], atol=1e-9)


def test_by_hand():
    """The release: scale 224 / max(H, W), half the padding before; eq. 5: over width and height."""
    box = np.array([[10.0, 20, 110, 220]])
    xy = np.array([[[10.0, 20], [60, 120], [110, 220], [85, 70]]])
    s = 224 / 200
    expected = [[56, 0], [112, 112], [168, 224], [56 + 75 * s, 50 * s]]
    np.testing.assert_allclose(letterbox(box).apply(xy)[0], expected, atol=1e-9)
    np.testing.assert_allclose(
        letterbox(box, 1.0, centered=True).apply(xy)[0], np.array(expected) / 224 - 0.5, atol=1e-9
    )
    np.testing.assert_allclose(box_frame(box).apply(xy)[0, 3], [0.25, -0.25])


def test_a_box_without_area_is_named():
    with pytest.raises(ValueError, match=r"box 1 is \[5.0, 5.0, 5.0, 9.0\]"):
        letterbox(np.array([[0, 0, 2, 2], [5, 5, 5, 9]]))


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("box", [(30, 40, 130, 340), (5.5, 8, 300, 90), (100, 100, 140, 150)])
def test_a_cut_shows_points_where_the_frame_says(box, stretch):
    """A dot in the image, found again in the cut; and the flipped cut shows the mirrored point."""
    spot = np.array([[box[0] + 0.3 * (box[2] - box[0]), box[1] + 0.6 * (box[3] - box[1])]])
    image = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(image, tuple(round(v * 16) for v in spot[0]), 3 * 16, (255, 255, 255), -1, shift=4)
    side = 112
    own = np.array([box], float)
    found = cut(image, own[0], side, stretch=stretch)[..., 0].astype(float)
    assert found.shape == (side, side)
    rows, columns = np.mgrid[:side, :side] + 0.5
    centre = [(found * columns).sum() / found.sum(), (found * rows).sum() / found.sum()]
    frame = box_frame(own) if stretch else letterbox(own, side)
    said = frame.apply(spot[None])[0, 0] * (side if stretch else 1) + (side / 2 if stretch else 0)
    np.testing.assert_allclose(centre, said, atol=0.6)
