"""NE, PDL and PCP, worked by hand; the mean shape on real FLD rows."""

from pathlib import Path

import numpy as np
import pytest

from fashion_ops.catalog.alignment.landmark_table import read_landmark_table
from fashion_ops.evaluation.mean_shape import mean_points
from fashion_ops.evaluation.normalized_error import counted, errors, ne, pdl, pdl_curve
from fashion_ops.evaluation.pcp import pcp
from fashion_ops.methods.parts.frames import letterbox
from fashion_ops.taxonomy.alignment import point_set

FLD = Path(__file__).parents[2].parent / "shared" / "samples" / "fld"

# Two garments with two landmarks; boxes 100 x 200 and 50 x 50.
BOXES = np.array([[0, 0, 100, 200], [10, 10, 60, 60]], float)
TRUTH = np.array([[[10, 10], [90, 190]], [[20, 20], [50, 50]]], float)
PREDICTED = TRUTH + np.array([[[30, 40], [0, 20]], [[3, 4], [0, 0]]], float)
VISIBILITY = np.array([[2, 1], [2, 0]], np.int8)


def test_errors_over_the_frames_side():
    # Letterbox: 50, 20, 5, 0 pixels over 200, 200, 50, 50.
    np.testing.assert_allclose(errors(PREDICTED, TRUTH, BOXES), [[0.25, 0.1], [0.1, 0]])
    # Eq. 5: (30/100, 40/200) is 0.36 long.
    stretched = errors(PREDICTED, TRUTH, BOXES, "box")
    np.testing.assert_allclose(stretched, [[np.hypot(0.3, 0.2), 0.1], [0.1, 0]])


def test_the_point_set_changes_the_number():
    distances = errors(PREDICTED, TRUTH, BOXES)
    visible = ne(distances, counted(VISIBILITY, "visible"))
    np.testing.assert_allclose(visible.per_point, [0.175, np.nan])
    assert (visible.macro, visible.micro) == pytest.approx((0.175, 0.175))
    assert visible.counts.tolist() == [2, 0]
    both = ne(distances, counted(VISIBILITY, "observed"))
    np.testing.assert_allclose(both.per_point, [0.175, 0.1])
    assert both.macro == pytest.approx(0.1375) and both.micro == pytest.approx(0.45 / 3)


def test_detected_landmarks():
    distances = errors(PREDICTED, TRUTH, BOXES)  # in a frame of 224: 56, 22.4, 22.4, 0 pixels
    mask = np.ones((2, 2), bool)
    assert pdl(distances, mask, 22.5).micro == pytest.approx(75)
    assert pdl(distances, mask, 22).per_point.tolist() == [0, 50]
    curve = [score.micro for score in pdl_curve(distances, mask, (0, 25, 56, 60))]
    assert curve == pytest.approx([25, 75, 100, 100])


def test_nothing_to_count():
    score = ne(np.ones((2, 3)), np.zeros((2, 3), bool))
    assert np.isnan(score.macro) and np.isnan(score.micro)


def test_mean_shape_leaves_out_what_is_not_observed():
    points = np.array([[[0, 0], [9, 9]], [[2, 4], [0, 0]]], float)
    observed = np.array([[True, True], [True, False]])
    np.testing.assert_allclose(mean_points(points, observed), [[1, 2], [9, 9]])


@pytest.mark.skipif(not FLD.is_dir(), reason="../shared/samples is missing")
def test_the_mean_shape_on_real_landmarks():
    """The scale of all numbers on FLD's upper-body clothes: NE .170, PDL at 15 pixels 17 %, visible."""
    train, val = (read_landmark_table(FLD / f"fld_upper_{s}.csv") for s in ("train", "val"))
    shape = mean_points(letterbox(train.box).apply(train.xy), train.visibility > 0)
    frame = letterbox(val.box)
    predicted = frame.invert(np.repeat(shape[None], len(val.xy), axis=0))
    distances = errors(predicted, val.xy, val.box)
    visible = counted(val.visibility, "visible")
    assert ne(distances, visible).micro == pytest.approx(0.170, abs=0.002)
    assert ne(distances, visible).macro == pytest.approx(0.170, abs=0.002)
    assert pdl(distances, visible, 15).micro == pytest.approx(17, abs=1)
    assert pdl(distances, visible, 15).macro == pytest.approx(17, abs=1)
    assert ne(distances, counted(val.visibility, "observed")).micro == pytest.approx(0.164, abs=0.003)


def person():
    """A person drawn with whole numbers: limbs 20 long, torso 40, head 20."""
    at = {
        "head_top": (50, 0),
        "neck": (50, 20),
        "right_shoulder": (40, 20),
        "left_shoulder": (60, 20),
        "right_elbow": (40, 40),
        "left_elbow": (60, 40),
        "right_wrist": (40, 60),
        "left_wrist": (60, 60),
        "right_hip": (45, 60),
        "left_hip": (55, 60),
        "right_knee": (45, 80),
        "left_knee": (55, 80),
        "right_ankle": (45, 100),
        "left_ankle": (55, 100),
    }
    return np.array([[at[name] for name in point_set("lsp14").point_names]], float)


def test_parts_strict_and_loose():
    truth = person()
    moved = truth.copy()
    wrist = point_set("lsp14").point_names.index("right_wrist")
    moved[0, wrist, 0] += 12  # of a stick 20 long: beyond half strictly, its mean with 0 is 6
    strict, loose = pcp(moved, truth), pcp(moved, truth, strict=False)
    assert strict.groups["lower_arms"] == 50 and loose.groups["lower_arms"] == 100
    assert strict.mean == pytest.approx(90) and loose.mean == pytest.approx(100)
    assert "strict" in strict.convention and "observer-centric" in strict.convention
    moved[0, wrist, 0] -= 2  # just half: counts
    assert pcp(moved, truth).mean == pytest.approx(100)


def test_torso_is_between_middles_and_limbs_weigh_twice():
    truth = person()
    moved = truth.copy()
    names = point_set("lsp14").point_names
    hips = [names.index("right_hip"), names.index("left_hip")]
    moved[0, hips] += [[-25, 0], [25, 0]]  # their middle stays: the torso is right, both thighs wrong
    scores = pcp(moved, truth)
    assert scores.groups["torso"] == 100 and scores.groups["upper_legs"] == 0
    assert scores.mean == pytest.approx(80)


def test_a_stick_of_no_length():
    """LSP has one: it counts as right only where it is met."""
    truth = person()
    names = point_set("lsp14").point_names
    truth[0, names.index("right_ankle")] = truth[0, names.index("right_knee")]
    assert pcp(truth, truth).mean == pytest.approx(100)
    off = truth.copy()
    off[0, names.index("right_ankle"), 1] += 1
    assert pcp(off, truth).groups["lower_legs"] == 50


def test_the_papers_means_are_means_over_ten_sticks():
    """DFA's Table 4, Pose Machines: its columns are permuted, only this order gives its mean 72.0."""
    groups = {
        "head": 85.4,
        "upper_legs": 83.6,
        "lower_legs": 76.8,
        "upper_arms": 68.1,
        "lower_arms": 42.2,
    }
    limbs = sum(2 * v for k, v in groups.items() if k != "head") + groups["head"]
    torso = 10 * 72.0 - limbs
    assert 90 < torso < 100
