"""Position Constraint Loss: hand-worked, against all pairs, gradients, masks."""

import pytest
import torch

from fashion_ops.methods.alignment.gle.targets import cone_targets
from fashion_ops.methods.parts import position_constraint
from fashion_ops.methods.parts.heatmaps import render_gaussians
from fashion_ops.methods.parts.position_constraint import (
    Constraint,
    constraint_of,
    left_and_right,
    position_constraint_loss,
    sides,
    undivided,
)
from fashion_ops.methods.top_down.loss import as_logits
from fashion_ops.taxonomy import CATEGORIES, load_grouping
from fashion_ops.taxonomy.alignment import POINT_SETS

ALL = torch.ones(1, 3, dtype=torch.bool)


def slow(predicted, true, mask, parts, worst):
    """Every pair of every part, as the slides write it."""
    means = []
    for part in parts:
        for p, t, m in zip(predicted, true, mask, strict=True):
            own = [i for i in range(len(p)) if m[i] and part[i]]
            if len(own) < 2:
                continue
            losses = []
            for i in own:
                total = sum(((p[i] - p[j]) - (t[i] - t[j])).square().sum() for j in own)
                losses.append(total / (len(own) - 1))
            losses = sorted(losses, reverse=True)[:worst]
            means.append(sum(losses) / len(losses))
    return sum(means) / len(means)


def random_case(seed=0, n=5, k=9):
    g = torch.Generator().manual_seed(seed)
    predicted = torch.randn(n, k, 2, generator=g, dtype=torch.float64) * 4
    true = torch.randn(n, k, 2, generator=g, dtype=torch.float64) * 4
    mask = torch.rand(n, k, generator=g) < 0.6
    parts = torch.zeros(2, k, dtype=torch.bool)
    parts[0, :4] = parts[1, 5:] = True  # the fifth is in the middle
    return predicted, true, mask, parts


def test_three_points_by_hand():
    """Errors (0,0), (3,0), (0,4): squared distances 9, 16, 25, so L = 25/2, 34/2, 41/2."""
    true = torch.tensor([[[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]])
    predicted = true + torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    loss = lambda worst: position_constraint_loss(predicted, true, ALL, ALL, worst).item()  # noqa: E731
    assert loss(1) == pytest.approx(20.5)
    assert loss(2) == pytest.approx((20.5 + 17) / 2)
    assert loss(3) == loss(7) == pytest.approx((20.5 + 17 + 12.5) / 3)
    unlabelled = torch.tensor([[True, True, False]])
    assert position_constraint_loss(predicted, true, unlabelled, ALL, 1).item() == pytest.approx(9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("worst", [1, 2, 3, 9])
def test_equals_all_pairs(seed, worst):
    case = random_case(seed)
    torch.testing.assert_close(position_constraint_loss(*case, worst), slow(*case, worst))


def test_gradient():
    predicted, true, mask, parts = random_case(1)
    predicted.requires_grad_()
    run = lambda p: position_constraint_loss(p, true, mask, parts, 2)  # noqa: E731
    assert torch.autograd.gradcheck(run, (predicted,))
    (gradient,) = torch.autograd.grad(run(predicted), predicted)
    assert (gradient[~mask] == 0).all() and (gradient[:, 4] == 0).all() and (gradient != 0).any()


def test_a_common_shift_is_free_and_parts_do_not_see_each_other():
    _, true, mask, parts = random_case(2)
    shifted = true + torch.tensor([30.0, -7.0])
    assert position_constraint_loss(shifted, true, mask, parts, 3).item() == pytest.approx(0, abs=1e-18)
    apart = true.clone()
    apart[:, :4] += 50.0  # the left side against the right one
    assert position_constraint_loss(apart, true, mask, parts, 3).item() == pytest.approx(0, abs=1e-18)
    apart[0, mask[0].nonzero()[0, 0]] += 1.0
    assert position_constraint_loss(apart, true, mask, parts, 3) > 0


def test_what_is_not_labelled_does_not_enter():
    predicted, true, mask, parts = random_case(3)
    loss = position_constraint_loss(predicted, true, mask, parts, 2)
    predicted[~mask], true[~mask] = float("nan"), 1e9
    assert position_constraint_loss(predicted, true, mask, parts, 2) == loss


def test_nothing_to_compare():
    predicted, true, mask, parts = random_case(4)
    predicted.requires_grad_()
    for m in (torch.zeros_like(mask), torch.eye(*mask.shape, dtype=torch.bool)):
        loss = position_constraint_loss(predicted, true, m, parts, 2)
        assert loss.item() == 0
        (gradient,) = torch.autograd.grad(loss, predicted)
        assert torch.equal(gradient, torch.zeros_like(gradient))
    none = position_constraint_loss(predicted[:0], true[:0], mask[:0], parts, 2)
    assert none.item() == 0
    with pytest.raises(ValueError, match="position_constraint_k is 0"):
        position_constraint_loss(predicted, true, mask, parts, 0)


@pytest.mark.parametrize(("name", "a_side"), [("none", 131), ("agg81", 37), ("semantic62", 28)])
def test_sides_are_mirror_images(name, a_side):
    grouping = load_grouping(name)
    left, right = left_and_right(grouping)
    assert left.sum() == right.sum() == a_side and not (left & right).any()
    assert torch.equal(left, right[torch.from_numpy(grouping.mirror())])
    for c in CATEGORIES:
        names = [n for n, g in zip(c.landmark_names, grouping.channels(c.id), strict=True) if left[g]]
        assert names and all(n.startswith("left") for n in names)


def test_sides_of_a_list_of_names():
    names = ("left_collar", "right_collar", "center_hem", "right_sleeve", "left_sleeve")
    left, right = sides(names, (1, 0, 2, 4, 3)).tolist()
    assert left == [True, False, False, False, True] and right == [False, True, False, True, False]
    with pytest.raises(ValueError, match=r"\['collar'\] have a mirror image"):
        sides(("collar", "right_collar"), (1, 0))


def test_undivided_ties_the_sides_together():
    """The left side is 2 px off against the right: free in two parts, |e_i - e_j|^2 = 4 across."""
    true = torch.tensor([[[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]]])
    predicted, mask = true.clone(), torch.ones(1, 4, dtype=torch.bool)
    predicted[0, :2, 0] += 2
    halves = torch.tensor([[True, True, False, False], [False, False, True, True]])
    assert Constraint(1, halves, 2).of_points(predicted, true, mask).item() == 0
    whole = Constraint(1, undivided(4), 2).of_points(predicted, true, mask)
    assert whole.item() == pytest.approx(2 * 4 / 3)  # two of three partners


def heatmaps(points, size=(32, 24), sigma=1.5):
    """Log-Gaussians: their softmax is the Gaussian, so that its mean is the point."""
    return render_gaussians(points, size, sigma).clamp_min(1e-30).log()


def test_heatmaps_and_their_points_have_one_loss():
    """One of three points is 3 cells off in maps 32 cells wide: L = 9, 9 / 2, 9 / 2 by hand."""
    true = torch.tensor([[[9.0, 8.0], [20.0, 8.0], [14.0, 15.0]]], dtype=torch.float64)
    moved = true.clone()
    moved[0, 0, 0] += 3
    constraint = Constraint(1.0, undivided(3), 1)
    assert constraint.of_heatmaps(heatmaps(moved), true, ALL).item() == pytest.approx(9 / 32**2)
    assert Constraint(1.0, undivided(3), 3).of_heatmaps(
        heatmaps(moved), true, ALL
    ).item() == pytest.approx((9 + 4.5 + 4.5) / 3 / 32**2)
    shifted = constraint.of_heatmaps(heatmaps(true + torch.tensor([2.0, -1.5])), true, ALL)
    assert shifted.item() == pytest.approx(0, abs=1e-12)


def landmarks_of_garments(size):
    """16 garments of 8 landmarks over the middle 80 % of the map, x and y in cells."""
    generator = torch.Generator().manual_seed(3)
    return (0.1 + 0.8 * torch.rand(16, 8, 2, generator=generator)) * torch.tensor(size)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("mse", (24, 32)),  # the landmarker's Gaussian, 96 x 128 pixels
        ("mse", (72, 96)),
        ("gle mse", (56, 56)),  # GLE's cone
        ("gle cross_entropy", (56, 56)),
        ("gle cross_entropy", (224, 224)),
    ],
)
def test_perfect_heatmaps_cost_nothing(kind, size, monkeypatch):
    """Below 1 % of what a plain softmax would charge at the optimum of the map loss."""
    points = landmarks_of_garments(size)
    mask = torch.ones(16, 8, dtype=torch.bool)
    if kind == "mse":
        logits = as_logits(render_gaussians(points, size, 1.5), "mse")
    else:
        cone = cone_targets(points, size, 8 / 224 * size[0])
        logits = cone.log() if kind == "gle cross_entropy" else as_logits(cone, "mse")
    constraint = Constraint(1.0, undivided(8), 8)
    sharp = constraint.of_heatmaps(logits, points, mask).item()
    monkeypatch.setattr(position_constraint, "SHARPNESS", 1.0)
    plain = constraint.of_heatmaps(logits, points, mask).item()
    print(f"{kind} {size}: {plain:.6f} -> {sharp:.8f}")
    assert plain > 1e-5 and sharp < 0.01 * plain


def test_gradient_through_heatmaps():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 6, generator=g, dtype=torch.float64, requires_grad=True)
    true = torch.rand(2, 3, 2, generator=g, dtype=torch.float64) * 4
    mask = torch.tensor([[True, True, True], [True, False, True]])
    constraint = Constraint(1.0, undivided(3), 2)
    assert torch.autograd.gradcheck(lambda x: constraint.of_heatmaps(x, true, mask), (logits,))
    (gradient,) = torch.autograd.grad(constraint.of_heatmaps(logits, true, mask), logits)
    assert (gradient[1, 1] == 0).all()


def test_half_precision_is_computed_in_single():
    true = torch.tensor([[[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]])
    loss = Constraint(1.0, undivided(3), 3).of_points((true + 100).bfloat16(), true + 100, ALL)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("name", POINT_SETS)
def test_sides_from_the_mirror_alone(name):
    """FLD's and LSP's point sets: the same two parts as by name."""
    own = POINT_SETS[name]
    constraint = constraint_of(2.0, 3, "sides", own.mirror)
    assert constraint is not None and (constraint.weight, constraint.worst) == (2.0, 3)
    named = sides(own.point_names, own.mirror)
    assert sorted(constraint.parts.tolist()) == sorted(named.tolist())
    assert constraint.parts.sum() == len(own.left) + len(own.right)
    whole = constraint_of(2.0, 3, "whole", own.mirror)
    assert whole is not None and whole.parts.shape == (1, own.num_points) and whole.parts.all()
    assert constraint_of(0.0, 3, "sides", own.mirror) is None
