"""Landmarks of sewn garments: complete, in the official order, mirrored as the taxonomy says."""

import numpy as np
import pytest

from fashion_ops.synthetic.wardrobe.body import LEFT, RIGHT, Arm, Figure
from fashion_ops.synthetic.wardrobe.render import SEW
from fashion_ops.synthetic.wardrobe.style import sample_style
from fashion_ops.taxonomy import CATEGORIES, category

# DeepFashion2, "Data Description": number of landmarks of categories 1..13.
COUNTS = [25, 33, 31, 39, 15, 15, 10, 14, 8, 29, 37, 19, 19]
ALL = [pytest.param(c.id, id=c.name) for c in CATEGORIES]


def symmetric_figure(yaw: float = 0.0) -> Figure:
    """Arms a little out, legs apart, the same on both sides."""
    figure = Figure(yaw=yaw)
    for side in (LEFT, RIGHT):
        out = side * np.cos(yaw)
        figure.arms[side] = Arm(
            "test", np.array([[0.72 * out, 1.65], [1.1 * out, 2.8], [1.3 * out, 3.9]])
        )
        figure.legs[side] = np.array([[0.35 * out, 3.72], [0.45 * out, 5.4], [0.42 * out, 6.75]])
    return figure


def sewn(category_id: int, figure: Figure, seed: int = 0):
    style = sample_style(category_id, np.random.default_rng(seed))
    return SEW[style.kind](style, figure)


def sides(category_id: int) -> tuple[np.ndarray, np.ndarray]:
    names = category(category_id).landmark_names
    left = [i for i, n in enumerate(names) if n.startswith("left")]
    return np.array(left), np.array([names.index(names[i].replace("left", "right", 1)) for i in left])


@pytest.mark.parametrize("category_id", ALL)
def test_every_landmark_is_placed(category_id):
    points, parts = sewn(category_id, symmetric_figure()).ordered()
    assert points.shape == (COUNTS[category_id - 1], 2)
    assert np.isfinite(points).all()
    assert all(parts)


@pytest.mark.parametrize("category_id", ALL)
def test_mirror_pairs_agree_with_the_taxonomy(category_id):
    points, _ = sewn(category_id, symmetric_figure()).ordered()
    flipped = points[category(category_id).mirror()] * [-1, 1]
    np.testing.assert_allclose(points, flipped, atol=1e-6)


@pytest.mark.parametrize("category_id", ALL)
def test_left_is_left_from_the_front_and_right_from_behind(category_id):
    left, right = sides(category_id)
    front, _ = sewn(category_id, symmetric_figure(0.2)).ordered()
    back, _ = sewn(category_id, symmetric_figure(np.pi - 0.2)).ordered()
    assert (front[left, 0] < front[right, 0]).all()
    assert (back[left, 0] > back[right, 0]).all()


@pytest.mark.parametrize("category_id", ALL)
@pytest.mark.parametrize("seed", range(4))
def test_landmarks_lie_where_their_names_say(category_id, seed):
    """Reading the official figure: what is above, outside or between what."""
    garment = sewn(category_id, symmetric_figure(), seed)
    at = garment.landmarks

    def y(name: str) -> float:
        return float(at[name][1])

    def order(*names: str) -> None:
        heights = [y(n) for n in names if n in at]
        assert heights == sorted(heights), f"{names} should go down, are at {heights}"

    order("left_collar", "left_collar_front", "collar_front", "left_armpit", "left_side_upper")
    if garment.style.kind == "bottom":
        order("left_waist", "crotch", "left_inseam", "left_hem_inner")
        order("left_waist", "left_side_upper", "left_side_lower", "left_hem_outer")
        order("left_waist", "left_side", "left_hem_outer")
        order("left_waist", "left_skirt_side", "left_hem", "hem_center")
    else:
        order(
            "left_side_upper",
            "left_side_lower",
            "left_waist",
            "left_hip",
            "left_skirt_side",
            "left_hem",
        )
    order("left_shoulder", "left_sleeve_outer_upper", "left_sleeve_outer_lower", "left_cuff_outer")
    order("left_armpit", "left_sleeve_inner_upper", "left_sleeve_inner_lower", "left_cuff_inner")
    order("left_opening_top", "left_opening_upper", "left_opening_lower", "left_opening_hem")
    order("left_strap", "left_collar", "collar_front", "hem_center")
    if "left_opening_top" in at:
        for k in ("top", "upper", "lower", "hem"):
            assert at["left_hem"][0] < at[f"left_opening_{k}"][0] < at[f"right_opening_{k}"][0]
    if "crotch" in at:
        assert at["left_hem_outer"][0] < at["left_hem_inner"][0] < at["crotch"][0]
    if "left_cuff_outer" in at:
        assert at["left_cuff_outer"][0] < at["left_cuff_inner"][0]


def test_an_unplaced_landmark_is_an_error():
    garment = sewn(9, symmetric_figure())
    del garment.landmarks["hem_center"]
    with pytest.raises(KeyError, match="hem_center"):
        garment.ordered()
