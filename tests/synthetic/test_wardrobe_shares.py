"""Framing of the second edition against DeepFashion2's: cut garments, visible landmarks, shapes."""

from pathlib import Path

import numpy as np
import pytest

from bench.wardrobe import Shares, labels_in, labels_of, measure
from fashion_ops.synthetic.wardrobe.second.plan import plan

SAMPLE = Path(__file__).parents[3] / "shared" / "samples" / "deepfashion2_demo"
# Of DeepFashion2: cut by the border, and visible of a garment's labelled landmarks.
CUT, VISIBLE = 0.41, 0.67


@pytest.fixture(scope="module")
def worn() -> Shares:
    """Of the worn garments, which nearly all of DeepFashion2's are."""
    shots = [shot for shot in plan(3, "train", 150, 0.35) if shot.setting == "worn"]
    return measure(labels_of(shots, 96))


def test_shares_of_a_case_counted_by_hand():
    """Two images; three garments, of which one is cut, with 1 of 2, 3 of 3 and 1 of 2 visible."""
    inside, cut = np.array([10, 10, 60, 60]), np.array([0, 20, 50, 99])
    shares = measure(
        [
            ((100, 100), [(inside, np.array([2, 1, 0, 0])), (cut, np.array([2, 2, 2]))]),
            ((150, 100), [(inside, np.array([1, 2, 0]))]),
        ]
    )
    assert shares.garments == 3
    assert shares.cut == pytest.approx(1 / 3)
    assert shares.visible == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert shares.unlabelled == pytest.approx(3 / 10)
    assert (shares.portraits, shares.squares) == (0.5, 0.5)


def test_garments_are_cut_and_covered_as_often_as_in_photographs(worn):
    assert abs(worn.cut - CUT) < 0.07
    assert abs(worn.visible - VISIBLE) < 0.05


def test_pictures_and_garments_have_the_sizes_of_the_real_samples(worn):
    """The 32 public samples: their own share of cut garments too, within what 32 images can say."""
    path = SAMPLE / "annotations_coco.json"
    if not path.exists():
        pytest.skip(f"no real samples at {SAMPLE}")
    real = measure(labels_in(path))
    assert abs(real.visible - VISIBLE) < 0.01
    assert abs(worn.cut - real.cut) < 0.15
    assert abs(worn.portraits - real.portraits) < 0.15
    assert abs(worn.squares - real.squares) < 0.12
    for ours, theirs in zip(worn.boxes, real.boxes, strict=True):
        assert 0.6 < ours / theirs < 1.7
