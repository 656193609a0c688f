"""FLD's and LSP's points: order of the READMEs, mirror pairs, trees, slots."""

import networkx as nx
import numpy as np
import pytest

from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, POINT_SETS, point_set, points_of_type

# FLD's README v1.1, note 5 (its second "upper-body" is full-body).
README = {
    "upper": "left collar, right collar, left sleeve, right sleeve, left hem, right hem",
    "lower": "left waistline, right waistline, left hem, right hem",
    "full": "left collar, right collar, left sleeve, right sleeve, left waistline, right waistline, "
    "left hem, right hem",
}


@pytest.mark.parametrize("name", CLOTHES_TYPES)
def test_the_order_of_the_readme(name):
    own = point_set(name)
    assert [n.replace("_", " ") for n in own.point_names] == README[name].split(", ")
    assert points_of_type(CLOTHES_TYPES.index(name) + 1) is own
    slots = point_set("fld8").point_names
    assert [slots[i] for i in own.slots] == list(own.point_names)


@pytest.mark.parametrize("name", POINT_SETS)
def test_mirrors_pair_left_with_right(name):
    own = point_set(name)
    np.testing.assert_array_equal(own.mirror[own.mirror], np.arange(own.num_points))
    for left, right in zip(own.left, own.right, strict=True):
        assert own.point_names[right] == own.point_names[left].replace("left", "right")
        assert own.parts[right] == "right"
    assert all("left" not in own.point_names[i] for i in own.center)
    assert 2 * len(own.left) + len(own.center) == own.num_points


@pytest.mark.parametrize("name", POINT_SETS)
def test_links_are_a_tree_that_looks_the_same_mirrored(name):
    own = point_set(name)
    graph = nx.Graph(own.links)
    assert nx.is_tree(graph) and len(graph) == own.num_points
    mirrored = {frozenset((int(own.mirror[a]), int(own.mirror[b]))) for a, b in own.links}
    assert mirrored == {frozenset(link) for link in own.links}


def test_lsp_counts_from_the_right_ankle():
    names = point_set("lsp14").point_names
    assert names[:6] == (
        *("right_ankle", "right_knee", "right_hip"),
        *("left_hip", "left_knee", "left_ankle"),
    )
    assert names[-2:] == ("neck", "head_top")
    with pytest.raises(KeyError, match="unknown clothes type 7"):
        points_of_type(7)
