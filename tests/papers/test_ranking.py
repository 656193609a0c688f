"""Top-k recall and hit@k by hand."""

import numpy as np
import pytest

from papers.applications.ranking import hits_at, topk_recall

SCORES = np.array([[0.9, 0.8, 0.1, 0.0], [0.2, 0.1, 0.4, 0.3], [0.5, 0.6, 0.7, 0.4]])
LABELS = np.array([[1, -1, 1, 0], [-1, 1, 1, 0], [1, 1, -1, 0]])


def test_recall_by_hand():
    """Top 2: image 0 finds {0} of {0, 2}, image 1 {2} of {1, 2}, image 2 {1} of {0, 1}."""
    result = topk_recall(SCORES, LABELS, 2)
    np.testing.assert_allclose(result.per_attribute, [1 / 2, 1 / 2, 1 / 2, np.nan])
    assert result.micro == pytest.approx(3 / 6) and result.macro == pytest.approx(1 / 2)
    result = topk_recall(SCORES, LABELS, 3)  # image 2 finds attribute 0 too, 0 and 1 find one more
    np.testing.assert_allclose(result.per_attribute, [1, 1 / 2, 1, np.nan])
    assert result.micro == pytest.approx(5 / 6) and result.macro == pytest.approx(5 / 6)
    assert topk_recall(SCORES, LABELS, 4).micro == 1


def test_macro_counts_attributes_and_micro_counts_images():
    """Nine images have attribute 0 and find it; one has attribute 1 and doesn't."""
    scores = np.tile([1.0, 0.0], (10, 1))
    labels = np.tile([1, -1], (10, 1))
    labels[9] = -1, 1
    result = topk_recall(scores, labels, 1)
    assert result.macro == pytest.approx(0.5) and result.micro == pytest.approx(0.9)


def test_what_recall_refuses():
    with pytest.raises(ValueError, match="top-5 of 4 attributes"):
        topk_recall(SCORES, LABELS, 5)
    with pytest.raises(ValueError, match="no image has any attribute"):
        topk_recall(SCORES, -np.abs(LABELS), 2)


def test_hits_by_hand():
    """On a line: the gallery at 0, 1, 2, 10; a's query at 0.4 finds b first, then a."""
    gallery, items = np.array([[1.0], [0.0], [2.0], [10.0]]), np.array(["a", "b", "c", "a"])
    query, expected = np.array([[0.4], [9.0], [1.6]]), np.array(["a", "a", "b"])
    result = hits_at(query, gallery, expected, items, (1, 2, 3))
    assert result == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3), 3: 1.0}


def test_hits_are_by_euclidean_distance():
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(20, 5)), rng.normal(size=(30, 5)) * 3
    items = rng.integers(0, 6, 30)
    expected = rng.choice(items, 20)
    for k in (1, 5):
        hit = 0
        for q, w in zip(query, expected, strict=True):
            near = np.argsort(np.linalg.norm(gallery - q, axis=1))[:k]
            hit += w in items[near]
        assert hits_at(query, gallery, expected, items, (k,))[k] == pytest.approx(hit / 20)


def test_what_retrieval_refuses():
    one = np.zeros((1, 2))
    with pytest.raises(ValueError, match=r"items \['x'\] of 1 queries are not in the gallery"):
        hits_at(one, one, np.array(["x"]), np.array(["y"]), (1,))
    with pytest.raises(ValueError, match="no queries"):
        hits_at(one[:0], one, np.array([]), np.array(["y"]), (1,))
