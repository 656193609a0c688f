"""Groupings: sizes, losslessness, and agreement with the flips."""

import numpy as np
import pytest

from fashion_ops.taxonomy import CATEGORIES, GROUPINGS, category, load_grouping

SIZES = {"none": 294, "agg81": 81, "semantic62": 62}


def test_sizes():
    assert {g: load_grouping(g).num_groups for g in GROUPINGS} == SIZES
    for g in GROUPINGS:
        assert set(load_grouping(g).group_of_slot) == set(range(SIZES[g]))


@pytest.mark.parametrize("name", GROUPINGS)
@pytest.mark.parametrize("c", CATEGORIES, ids=lambda c: c.name)
def test_grouping_loses_nothing_on_a_known_category(name, c):
    grouping = load_grouping(name)
    assert len(set(grouping.channels(c.id))) == c.num_landmarks
    points = np.random.default_rng(c.id).normal(size=(2, c.num_landmarks, 3))
    grouped = grouping.group(c.id, points)
    assert grouped.shape == (2, SIZES[name], 3)
    np.testing.assert_array_equal(grouping.ungroup(c.id, grouped), points)


@pytest.mark.parametrize("name", GROUPINGS)
def test_mirror_commutes_with_grouping(name):
    grouping = load_grouping(name)
    mirror = grouping.mirror()
    np.testing.assert_array_equal(mirror[mirror], np.arange(grouping.num_groups))
    for c in CATEGORIES:
        points = np.random.default_rng(c.id).normal(size=(c.num_landmarks, 2))
        np.testing.assert_array_equal(
            grouping.group(c.id, points)[mirror], grouping.group(c.id, points[c.mirror()])
        )


def test_agg81_is_the_published_one():
    """Spot checks from the authors' table: self-mirrored channels and whole blocks."""
    grouping = load_grouping("agg81")
    mirror = grouping.mirror()
    assert [g + 1 for g in range(81) if mirror[g] == g] == [1, 4, 47, 60, 64, 70, 79]
    assert list(grouping.channels(6) + 1) == [1, 2, 3, 4, 5, 6, 56, 41, 42, 43, 47, 44, 45, 46, 57]
    assert list(grouping.channels(8) + 1) == [63, 64, 65, 71, 73, 66, 67, 74, 70, 75, 68, 69, 76, 72]


def test_semantic62_only_merges_groups_of_agg81():
    fine, coarse = (load_grouping(n).group_of_slot for n in ("agg81", "semantic62"))
    parent = {}
    for f, c in zip(fine, coarse, strict=True):
        assert parent.setdefault(f, c) == c
    assert len(parent) - len(set(parent.values())) == 12 + 2 + 5


def test_shared_channels_mean_the_same():
    """A grouped channel holds landmarks on one side of the garment only."""
    for name in ("agg81", "semantic62"):
        sides = {}
        for c in CATEGORIES:
            for g, landmark in zip(load_grouping(name).channels(c.id), c.landmark_names, strict=True):
                side = landmark.split("_")[0]
                sides.setdefault(g, set()).add(side if side in ("left", "right") else "centre")
        assert all(len(s) == 1 for s in sides.values())


def test_mask_marks_the_channels_of_each_category():
    mask = load_grouping("agg81").mask
    assert mask.sum(1).tolist() == [c.num_landmarks for c in CATEGORIES]
    assert mask[category("skirt").id - 1].nonzero()[0].tolist() == [62, 63, 64, 76, 77, 78, 79, 80]


def test_the_official_figure_clashes_when_channels_are_shared():
    load_grouping("none").mirror(official_figure=True)
    with pytest.raises(ValueError, match="mirrors group"):
        load_grouping("agg81").mirror(official_figure=True)


def test_unknown_grouping():
    with pytest.raises(ValueError, match="unknown grouping 'agg80'; known: none, agg81, semantic62"):
        load_grouping("agg80")
