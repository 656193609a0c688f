import math

import pytest
import torch

from fashion_ops.methods.posefix.errors import (
    GOOD,
    INVERSION,
    JITTER,
    LOOSE,
    MISS,
    STEADY,
    SWAP,
    WrongPoses,
    ks_distance,
    landmark_groups,
    synthesize_errors,
    type_probabilities,
)
from fashion_ops.taxonomy import CATEGORIES, category

AREA = 6400.0
SHIFT = torch.tensor([30.0, 12.0])  # of the neighbour


@pytest.fixture(scope="module")
def skirt():
    """Truth, neighbour and the errors of 4,000 skirts; landmark 1 (waist centre) is its own mirror."""
    c = category("skirt")
    b, n = 4000, c.num_landmarks
    truth = torch.tensor(
        [[10.0, 20], [50, 20], [90, 20], [8, 60], [5, 110], [50, 115], [95, 110], [92, 60]]
    ).expand(b, n, 2)
    neighbour = torch.cat([truth + SHIFT, torch.full((b, n, 1), 2.0)], 2)
    neighbour[: b // 2, :, 2] = 0  # half of them stand alone
    labelled = torch.ones(b, n, dtype=torch.bool)
    errors = draw(c, truth, labelled, neighbour)
    return c, truth, neighbour, errors


def draw(c, truth, labelled, neighbour, seed=0, rates=None) -> WrongPoses:
    crowded, groups = (neighbour[..., 2] > 0).any(1), torch.tensor(landmark_groups(c))
    if rates is None:
        rates = type_probabilities(labelled, crowded, groups)
    return synthesize_errors(
        truth,
        labelled,
        neighbour,
        torch.full((len(truth),), AREA),
        torch.from_numpy(c.sigmas).float(),
        torch.from_numpy(c.mirror()),
        rates.expand(len(truth), -1, -1),
        torch.Generator().manual_seed(seed),
    )


def similarity(c, points, center):
    """OKS' own formula, per landmark."""
    squared = ((points - center) ** 2).sum(-1)
    return torch.exp(-squared / (2 * AREA * (2 * torch.from_numpy(c.sigmas).float()) ** 2))


def test_distance_at_similarity_by_hand():
    # area 100 x 100, sigma 0.05: variance (0.1)^2; KS 0.5 at sqrt(2 ln 2) * 0.1 * 100 = 11.774 px
    distance = ks_distance(torch.tensor([1e4]), torch.tensor([0.05]), 0.5)
    assert distance.item() == pytest.approx(10 * math.sqrt(2 * math.log(2)), rel=1e-5)


def test_good_and_jitter_keep_their_rings(skirt):
    c, truth, _, errors = skirt
    ks = similarity(c, errors.points, truth)
    good, jitter = ks[errors.types == GOOD], ks[errors.types == JITTER]
    assert len(good) > 10_000 and good.min() > 0.85 - 1e-4
    assert len(jitter) > 1000 and jitter.max() < 0.85 + 1e-4 and jitter.min() > 0.5 - 1e-4
    # uniform in radius: half of the jitter is nearer than the middle radius
    d85, d50 = math.sqrt(-2 * math.log(0.85)), math.sqrt(-2 * math.log(0.5))
    middle = math.exp(-(((d85 + d50) / 2) ** 2) / 2)
    assert (jitter > middle).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_inversion_lies_at_the_mirror_landmark(skirt):
    c, truth, _, errors = skirt
    mirror = torch.from_numpy(c.mirror())
    inverted = errors.types == INVERSION
    assert inverted.sum() > 200
    assert similarity(c, errors.points, truth[:, mirror])[inverted].min() > 0.5 - 1e-4
    alone = mirror == torch.arange(c.num_landmarks)
    assert alone.any() and not inverted[:, alone].any()


def test_swap_needs_a_neighbour_and_lies_on_it(skirt):
    c, _, neighbour, errors = skirt
    swapped = errors.types == SWAP
    has = neighbour[..., 2] > 0
    assert swapped[has].sum() > 100 and not swapped[~has].any()
    same = similarity(c, errors.points, neighbour[..., :2])
    mirrored = similarity(c, errors.points, neighbour[:, torch.from_numpy(c.mirror()), :2])
    assert torch.maximum(same, mirrored)[swapped].min() > 0.5 - 1e-4
    assert (mirrored[swapped] > 0.5).any() and (same[swapped] > 0.5).any()


def test_miss_is_near_nothing_but_not_lost(skirt):
    c, truth, neighbour, errors = skirt
    mirror = torch.from_numpy(c.mirror())
    missed = errors.types == MISS
    has = neighbour[..., 2] > 0
    ks = [similarity(c, errors.points, truth), similarity(c, errors.points, truth[:, mirror])]
    ks += [
        similarity(c, errors.points, neighbour[..., :2]) * has,
        similarity(c, errors.points, neighbour[:, mirror, :2]) * has,
    ]
    best = torch.stack(ks).max(0).values[missed]
    assert len(best) > 300 and best.max() < 0.5 + 1e-4 and best.min() > 0.1 - 1e-4


def test_types_come_as_often_as_asked(skirt):
    c, truth, _, errors = skirt
    paired = torch.from_numpy(c.mirror()) != torch.arange(c.num_landmarks)
    alone = slice(0, len(truth) // 2)  # without a neighbour: swap leaves, the others are renormalised
    groups = torch.tensor(landmark_groups(c))
    wanted = type_probabilities(torch.ones(1, 8, dtype=torch.bool), torch.zeros(1).bool(), groups)[0]
    wanted[:, SWAP] = 0
    wanted = (wanted / wanted.sum(1, keepdim=True))[paired].mean(0)
    types = errors.types[alone][:, paired]
    found = torch.stack([(types == t).float().mean() for t in range(5)])
    assert torch.allclose(found, wanted, atol=0.012), (found, wanted)


def test_the_few_labelled_err_more():
    groups = torch.tensor(landmark_groups(category("trousers")))
    labelled = torch.zeros(2, 14, dtype=torch.bool)
    labelled[0, :3] = True
    labelled[1] = True
    few, all_ = type_probabilities(labelled, torch.tensor([False, False]), groups)
    assert (few[:, MISS] > all_[:, MISS]).all() and (few[:, GOOD] < all_[:, GOOD]).all()
    assert torch.allclose(few.sum(1), torch.ones(14))


def test_no_inversion_onto_an_unlabelled_mirror():
    c = category("skirt")
    truth = torch.rand(500, 8, 2) * 90
    labelled = torch.ones(500, 8, dtype=torch.bool)
    labelled[:, 2] = False  # the mirror of 0
    errors = draw(c, truth, labelled, torch.zeros(500, 8, 3))
    assert c.mirror()[0] == 2
    assert not (errors.types[:, 0] == INVERSION).any() and (errors.types[:, 2] == INVERSION).any()


def test_same_seed_same_errors(skirt):
    c, truth, neighbour, errors = skirt
    again = draw(c, truth, torch.ones(len(truth), 8, dtype=torch.bool), neighbour)
    assert torch.equal(errors.points, again.points) and torch.equal(errors.types, again.types)


def test_every_landmark_has_a_group_that_its_mirror_shares():
    for c in CATEGORIES:
        groups = torch.tensor(landmark_groups(c))
        assert torch.equal(groups, groups[torch.from_numpy(c.mirror())]), c.name
    top = category("short_sleeve_top")
    by_name = dict(zip(top.landmark_names, landmark_groups(top), strict=True))
    assert by_name["collar_back"] == by_name["left_shoulder"] == STEADY
    assert by_name["left_cuff_outer"] == by_name["hem_center"] == LOOSE
