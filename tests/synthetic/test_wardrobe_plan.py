"""Who wears what: shares, floors, pairs, and images that do not depend on how many are taken."""

from collections import Counter

import numpy as np
import pytest

from fashion_ops.synthetic.wardrobe.plan import MIN_SHARE, plan, shares
from fashion_ops.taxonomy import CATEGORIES


def counted(shots) -> np.ndarray:
    counts = Counter(c for shot in shots for c, _, _ in shot.garments)
    return np.array([counts[c.id] for c in CATEGORIES])


@pytest.mark.parametrize("imbalance", [0.0, 0.35, 1.0])
def test_counts_follow_the_tempered_real_counts(imbalance):
    counts = counted(plan(0, "train", 1200, imbalance))
    np.testing.assert_allclose(counts / counts.sum(), shares(imbalance), atol=0.004)


def test_ratio_of_two_categories_is_that_of_the_data_set():
    # DeepFashion2's training set: 71,645 short sleeve tops, 7,907 long sleeve dresses.
    share = shares(0.35)
    assert share[0] / share[10] == pytest.approx((71645 / 7907) ** 0.35)
    assert shares(0.0) == pytest.approx(np.full(13, 1 / 13))
    assert shares(1.0).min() == pytest.approx(MIN_SHARE)
    assert shares(1.0).sum() == pytest.approx(1)


def test_demo_validation_has_enough_of_each_category():
    assert counted(plan(0, "validation", 520, 0.35)).min() >= 20


def test_a_longer_wardrobe_starts_with_the_same_images():
    assert plan(3, "train", 61, 0.35) == plan(3, "train", 200, 0.35)[:61]


def test_splits_and_seeds_differ():
    a, b, c = plan(0, "train", 40, 0.35), plan(0, "validation", 40, 0.35), plan(1, "train", 40, 0.35)
    assert not {s.seed for s in a} & {s.seed for s in b}
    assert not {s.seed for s in a} & {s.seed for s in c}


def test_pairs_show_one_garment_twice():
    shots = plan(0, "train", 200, 0.35)
    for shop, user in zip(shots[::2], shots[1::2], strict=True):
        assert (shop.source, user.source) == ("shop", "user")
        assert shop.pair_id == user.pair_id
        lead = [g for g in shop.garments if g[2] > 0]
        assert lead == [g for g in user.garments if g[2] > 0]
        assert len(lead) == 1
    assert len({s.pair_id for s in shots}) == 100
