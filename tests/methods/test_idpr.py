"""IDPR: max-sum against brute force, relations by hand, and a tree that corrects appearance."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_quads import LINKS, PARAMS, error, mean_shape, quads

from fashion_ops.methods.alignment.data import Shapes
from fashion_ops.methods.alignment.idpr.inference import infer, max_sum, refine
from fashion_ops.methods.alignment.idpr.loss import TypeLoss
from fashion_ops.methods.alignment.idpr.model import Scores, cell_of, cells
from fashion_ops.methods.alignment.idpr.relations import Relation, Tree, fit_relations
from fashion_ops.methods.alignment.idpr.training import add_routing, train_idpr


def nearest_type(relation, positions):
    """The type (N,) of a relation in each garment, by the formula."""
    offsets = positions[:, relation.end] - positions[:, relation.start]
    scaled = (offsets[:, None] - relation.means[None]) / relation.spread[None]
    return (scaled**2).sum(-1).argmin(axis=1)


@pytest.mark.parametrize("links", [[(0, 1), (1, 2), (1, 3)], [(2, 3), (2, 0), (1, 0)]])
def test_max_sum_finds_what_brute_force_finds(links):
    generator = torch.Generator().manual_seed(3)
    unary = torch.randn(5, 4, 3, generator=generator)
    pairs = [torch.randn(5, 3, 3, generator=generator) for _ in links]
    cells_of_nodes = max_sum(unary, links, lambda k: pairs[k])
    for b in range(5):
        best = max(
            itertools.product(range(3), repeat=4),
            key=lambda cells: (
                sum(float(unary[b, i, c]) for i, c in enumerate(cells))
                + sum(float(p[b, cells[s], cells[e]]) for p, (s, e) in zip(pairs, links, strict=True))
            ),
        )
        assert tuple(cells_of_nodes[b].tolist()) == best
    with pytest.raises(ValueError, match="are no tree over 4 nodes"):
        max_sum(unary, [*links[:2], links[0]], lambda k: pairs[k])


def test_relations_are_clusters_of_differences():
    rng = np.random.default_rng(0)
    start = rng.uniform(-0.2, 0.2, (60, 2))
    kind = np.arange(60) % 2
    positions = np.stack([start, start + np.where(kind[:, None], [0.2, 0.0], [0.0, 0.3])], 1)
    visibility = np.full((60, 2), 2)
    visibility[0, 1] = 0
    positions[0, 1] = 9.0  # not seen, so not of interest
    shapes = Shapes(positions, visibility, np.ones((60, 2), bool))
    there, back = fit_relations(shapes, [(0, 1)], 2, seed=0)
    assert (there.start, there.end, back.start, back.end) == (0, 1, 1, 0)
    np.testing.assert_allclose(sorted(map(tuple, there.means)), [(0, 0.3), (0.2, 0)], atol=1e-6)
    np.testing.assert_allclose(there.means, -back.means[[0, 1]], atol=1e-6)
    types = nearest_type(there, positions[1:])
    assert len(set(types[kind[1:] == 0])) == len(set(types[kind[1:] == 1])) == 1


def test_the_loss_of_types_is_that_of_a_loop_over_relations():
    """Two kinds of garments; one relation has no garment, and one of them fewer types."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    kinds = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], bool)
    numbers, pairs = (3, 2, 1, 6), ((0, 1), (1, 2), (2, 3), (1, 2))
    relations = [
        Relation(a, b, rng.uniform(-0.5, 0.5, (t, 2)), rng.uniform(0.1, 0.3, (t, 2)))
        for t, (a, b) in zip(numbers, pairs, strict=True)
    ]
    trees = [Tree(kinds[k], (), tuple(relations[2 * k : 2 * k + 2])) for k in range(2)]
    which = np.arange(7) % 2
    slots, observed = kinds[which], rng.uniform(size=(7, 4)) < 0.8
    observed[which == 1, 3], observed[0], observed[1, :3] = False, True, True
    true = torch.from_numpy(rng.uniform(-0.6, 0.6, (7, 4, 2))).float()
    logits = [torch.randn(7, t, 25, generator=generator, requires_grad=True) for t in numbers]
    log_p = [values.log_softmax(1) for values in logits]
    scores = Scores(
        torch.zeros(7, 4, 25), [log_p[:2], log_p[2:]], torch.zeros(7, 0), torch.zeros(7, 1), 5
    )

    means = []
    for k, relation in enumerate(relations):
        counts = observed[:, relation.start] & observed[:, relation.end] & (which == k // 2)
        losses = []
        for row in np.flatnonzero(counts):
            [kind] = nearest_type(relation, true[row : row + 1].double().numpy())
            [cell] = cell_of(true[row : row + 1, relation.start], 5)
            losses.append(-log_p[k][row, kind, cell])
        means += [torch.stack(losses).mean()] if losses else []
    assert len(means) == 3
    expected = torch.stack(means).mean()
    loss = TypeLoss(trees)(scores, true, torch.from_numpy(observed), torch.from_numpy(slots))
    torch.testing.assert_close(loss, expected)
    ours, theirs = (
        torch.autograd.grad(value, logits, retain_graph=True, materialize_grads=True)
        for value in (loss, expected)
    )
    torch.testing.assert_close(ours, theirs)
    none = TypeLoss(trees)(scores, true, torch.zeros(7, 4, dtype=torch.bool), torch.from_numpy(slots))
    assert none == 0


def test_cells_and_positions_agree():
    where = cells(4, torch.device("cpu"))
    assert cell_of(where, 4).tolist() == list(range(16))
    places = torch.full((1, 1, 16), -20.0)
    places[0, 0, 5] = places[0, 0, 6] = -1.0
    refined = refine(places, torch.tensor([[5]]), 4)[0, 0]
    torch.testing.assert_close(refined, (where[5] + where[6]) / 2, atol=1e-4, rtol=0)


def test_a_relation_moves_a_landmark_that_looks_ambiguous():
    """Two equally bright places for landmark 1; only one is where it lies from landmark 0."""
    relation = Relation(0, 1, np.array([[0.5, 0.0]]), np.full((1, 2), 0.1))
    back = Relation(1, 0, np.array([[-0.5, 0.0]]), np.full((1, 2), 0.1))
    tree = Tree(np.ones(2, bool), ((0, 1),), (relation, back))
    places = torch.full((1, 2, 16), -9.0)
    places[0, 0, 4] = 0.0
    places[0, 1, [6, 12]] = torch.tensor([-0.1, 0.0])  # (0.125, -0.125) fits, (-0.375, 0.375) doesn't
    types = [torch.zeros(1, 1, 16), torch.zeros(1, 1, 16)]
    scores = Scores(places, [types], torch.zeros(1, 0), torch.zeros(1, 0), 4)
    slots = np.ones((1, 2), bool)
    alone, joined = (infer(scores, [tree], slots, weight)[0, 1] for weight in (0.0, 1.0))
    assert alone[1] > 0.3 and joined[1] < 0


def test_idpr_learns_and_routing_trains_two_networks():
    """Less than half the mean shape's error on 160 new quadrilaterals; routed, no worse by 5 %."""
    train, test = quads(256, 1), quads(160, 2)
    crops, shapes = test.crops, test.shapes
    params = PARAMS.model_copy(update={"epochs": 4, "epsilon": 0.15})
    model = train_idpr(params, train, LINKS, 0)
    plain = error(model.predict(crops, shapes.slots), shapes)
    assert plain < 0.5 * error(mean_shape(train.shapes, shapes), shapes)
    appearance = error(replace(model, weight=0.0).predict(crops, shapes.slots), shapes)
    assert plain < 1.02 * appearance  # the weight was selected on training garments
    routed = add_routing(params, model, train, 0)
    assert len(routed.nets) == 2
    assert error(routed.predict(crops, shapes.slots), shapes) < 1.05 * plain
