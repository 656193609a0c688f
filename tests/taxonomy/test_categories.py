"""The taxonomy against the numbers that DeepFashion2 publishes."""

import numpy as np
import pytest

from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS, SKELETON, category, sigmas

COUNTS = (25, 33, 31, 39, 15, 15, 10, 14, 8, 29, 37, 19, 19)  # DeepFashion2, evaluation.md
FIRST = (1, 26, 59, 90, 129, 144, 159, 169, 183, 191, 220, 257, 276)


def test_thirteen_categories_with_the_published_slots():
    assert tuple(c.num_landmarks for c in CATEGORIES) == COUNTS
    assert tuple(c.first for c in CATEGORIES) == FIRST
    assert sum(COUNTS) == NUM_LANDMARKS == len(sigmas())


def test_released_counts_add_up():
    assert sum(c.train_count for c in CATEGORIES) == 312_186
    assert sum(c.validation_count for c in CATEGORIES) == 52_490


def test_official_sigmas():
    assert sigmas().min() == 0.0074
    assert sigmas().max() == 0.0726
    # The one asymmetric entry of the official list, kept for comparable numbers.
    dress = category("long_sleeve_dress")
    asymmetric = [
        (c.name, i) for c in CATEGORIES for i, j in enumerate(c.mirror()) if c.sigmas[i] != c.sigmas[j]
    ]
    assert asymmetric == [("long_sleeve_dress", 14), ("long_sleeve_dress", 28)]
    assert (dress.sigmas[14], dress.sigmas[28]) == (0.0455, 0.0486)


@pytest.mark.parametrize("c", CATEGORIES, ids=lambda c: c.name)
def test_names_are_unique_and_mirror_swaps_left_and_right(c):
    assert len(set(c.landmark_names)) == c.num_landmarks
    swapped = {"left": "right", "right": "left"}
    for name, j in zip(c.landmark_names, c.mirror(), strict=True):
        side, _, rest = name.partition("_")
        assert c.landmark_names[j] == (f"{swapped[side]}_{rest}" if side in swapped else name)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("c", CATEGORIES, ids=lambda c: c.name)
def test_mirror_is_an_involution(c, official):
    m = c.mirror(official_figure=official)
    np.testing.assert_array_equal(m[m], np.arange(c.num_landmarks))


def test_centre_points_are_those_of_the_official_tables():
    centre = {c.id: [i + 1 for i, j in enumerate(c.mirror()) if i == j] for c in CATEGORIES}
    assert centre == {
        1: [1, 4, 16],
        2: [1, 4, 20],
        3: [1],
        4: [1],
        5: [1, 4, 11],
        6: [1, 4, 11],
        7: [2, 7],
        8: [2, 9],
        9: [2, 6],
        10: [1, 4, 18],
        11: [1, 4, 22],
        12: [1, 4, 13],
        13: [1, 4, 13],
    }


def test_short_sleeve_outwear_can_follow_the_official_figure():
    c = category("short_sleeve_outwear")
    ours = {(i + 1, int(j) + 1) for i, j in enumerate(c.mirror()) if i < j}
    figure = {(i + 1, int(j) + 1) for i, j in enumerate(c.mirror(official_figure=True)) if i < j}
    assert ours - figure == {(2, 6), (4, 26)}
    assert figure - ours == {(2, 26), (4, 6)}
    for i, j in enumerate(c.mirror()):  # the sigmas agree with ours, not with the figure
        assert c.sigmas[i] == c.sigmas[j]
    assert any(c.sigmas[i] != c.sigmas[j] for i, j in enumerate(c.mirror(official_figure=True)))


def test_skeleton_stays_within_categories():
    assert len(SKELETON) == 304
    assert sum(len(c.links) for c in CATEGORIES) == 304
    for c in CATEGORIES:
        joined = {i for link in c.links for i in link}
        assert joined == set(range(c.num_landmarks))


def test_every_skeleton_is_its_own_mirror_image():
    """Also that of short sleeve outwear, whose links the data set numbers by its figure."""
    for c in CATEGORIES:
        mirror, links = c.mirror().tolist(), {frozenset(link) for link in c.links}
        assert {frozenset((mirror[a], mirror[b])) for a, b in c.links} == links, c.name


def test_lookup_by_any_name():
    assert category("short sleeve top") is category(1) is category("short_sleeved_shirt")
    with pytest.raises(KeyError, match="unknown category 'jeans'; known: 1 short_sleeve_top"):
        category("jeans")
    with pytest.raises(KeyError, match="unknown category 14"):
        category(14)
