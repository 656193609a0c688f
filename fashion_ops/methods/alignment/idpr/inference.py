"""A trained IDPR model: scores of the network, then the best configuration of each garment's tree."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from fashion_ops.methods.alignment.crops import Crops
from fashion_ops.methods.alignment.dfa.routing import route
from fashion_ops.methods.alignment.idpr.model import IdprNet, Scores, cells
from fashion_ops.methods.alignment.idpr.relations import Links, Relation, Tree
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.precision import autocast

BATCH = 32

Pairwise = Callable[[int], Tensor]  # link -> scores (B, cells of its first end, cells of its second)


@dataclass(frozen=True)
class Router:
    """Chooses the easy or the hard network of each garment.

    Attributes:
        net: the network whose pooled features are read.
        head: maps these features to logits of K pseudo-labels.
        errors: e(C_k) (K,), mean error of each cluster, see ``dfa.routing``.
        epsilon: expected error from which a garment is hard.
    """

    net: IdprNet
    head: nn.Linear
    errors: np.ndarray
    epsilon: float

    @torch.no_grad()
    def branch(self, crops: UInt8[Tensor, "b 3 s s"], precision: str) -> Int[np.ndarray, " b"]:
        """Choose ``EASY`` or ``HARD`` for each crop; ``precision`` is auto, fp32 or bf16."""
        labels = self.head(scores_of(self.net, crops, precision).pooled).softmax(-1).cpu().numpy()
        return route(labels, self.errors, self.epsilon)


@dataclass(frozen=True)
class Idpr:
    """A trained model: one network, or an easy and a hard one with a router.

    Attributes:
        nets: one network, or the easy and the hard one.
        trees: of all kinds of garments.
        weight: of the relations relative to the appearance.
        precision: ``auto``, ``fp32`` or ``bf16``.
        router: chooses between two networks; None for one.
    """

    nets: tuple[IdprNet, ...]
    trees: tuple[Tree, ...]
    weight: float
    precision: str
    router: Router | None = None

    @torch.no_grad()
    def predict(self, crops: Crops, slots: np.ndarray) -> np.ndarray:
        """Predict the positions (N, n, 2), normalised, of N garments.

        Args:
            crops: of the garments.
            slots: bool (N, n), the landmarks of each garment's kind, which select its tree.
        """
        out = np.zeros((len(crops), self.nets[0].landmarks, 2), np.float32)
        for rows in batches(len(crops)):
            pixels = crops.take(rows)
            branch = np.zeros(len(rows), np.int64)
            if self.router is not None:
                branch = self.router.branch(pixels, self.precision)
            for b in np.unique(branch):
                members = np.flatnonzero(branch == b)
                scores = scores_of(self.nets[b], pixels[torch.from_numpy(members)], self.precision)
                best = infer(scores, self.trees, slots[rows[members]], self.weight)
                out[rows[members]] = best.cpu().numpy()
        return out


def batches(count: int) -> list[np.ndarray]:
    """Split the indices 0..count-1 into arrays of at most ``BATCH``."""
    return np.array_split(np.arange(count), max(1, -(-count // BATCH)))


def scores_of(net: IdprNet, crops: UInt8[Tensor, "b 3 s s"], precision: str) -> Scores:
    """Switch a network to eval mode and compute its scores of crops, on its device.

    ``precision`` is ``auto``, ``fp32`` or ``bf16``.
    """
    net.eval()
    device = next(net.parameters()).device
    pixels = normalize(crops.to(device) / 255).contiguous(memory_format=torch.channels_last)
    with autocast(precision, device):
        return net(pixels)


def infer(
    scores: Scores, trees: Sequence[Tree], slots: Bool[np.ndarray, "b n"], weight: float
) -> Float[Tensor, "b n 2"]:
    """Find the best configuration of each garment, by appearance alone where no tree fits its slots.

    Args:
        scores: of B crops.
        trees: those that the network was built for.
        slots: the landmarks of each garment's kind, which select its tree.
        weight: of the relations relative to the appearance.

    Returns:
        Positions x, y, normalised.
    """
    places, side = scores.places, scores.side
    best = places.argmax(-1)
    centers = cells(side, places.device)
    offsets = centers[None] - centers[:, None]  # (start's cells, end's cells, 2)
    for tree, types in zip(trees, scores.types, strict=True):
        rows = np.flatnonzero((slots == tree.slots).all(axis=1))
        if not len(rows) or not weight:
            continue
        nodes = np.flatnonzero(tree.slots)
        index = {int(node): k for k, node in enumerate(nodes)}
        links = [(index[a], index[b]) for a, b in tree.links]
        log_p = [t[torch.from_numpy(rows)] for t in types]

        def pairwise(k: int, log_p: list[Tensor] = log_p, tree: Tree = tree) -> Tensor:
            forth = _directed(tree.relations[2 * k], log_p[2 * k], offsets)
            back = _directed(tree.relations[2 * k + 1], log_p[2 * k + 1], offsets)
            return weight * (forth + back.transpose(1, 2))

        unary = places[torch.from_numpy(rows)][:, torch.from_numpy(nodes)]
        cell = max_sum(unary, links, pairwise)
        best[torch.from_numpy(rows)[:, None], torch.from_numpy(nodes)] = cell
    return refine(places, best, side)


def _directed(
    relation: Relation, log_p: Float[Tensor, "b t g"], offsets: Float[Tensor, "g g 2"]
) -> Float[Tensor, "b g g"]:
    """Score one direction of a link for all pairs of cells, by its best type.

    The score is the type's log probability at the start minus half the squared misfit of the offset.

    Args:
        relation: from the start to the end.
        log_p: log p(type | cell) at each cell of the start.
        offsets: from each cell of the start (first axis) to each of the end, normalised.
    """
    scores = []
    for t, (mean, spread) in enumerate(zip(relation.means, relation.spread, strict=True)):
        scaled = (offsets - torch.from_numpy(mean).to(offsets)) / torch.from_numpy(spread).to(offsets)
        scores.append(log_p[:, t, :, None] - 0.5 * scaled.square().sum(-1))
    return functools.reduce(torch.maximum, scores)


def refine(
    places: Float[Tensor, "b n g"], best: Int[Tensor, "b n"], side: int, reach: float = 1.6
) -> Float[Tensor, "b n 2"]:
    """Refine cells to positions: the mean of the cells around each, weighted by their probability.

    Args:
        places: log p(cell | landmark) on a grid of g = side x side cells.
        best: index of each landmark's cell, 0..g-1.
        side: cells along each side.
        reach: distance from ``best`` within which cells count, in cells.

    Returns:
        x, y, normalised.
    """
    centers = cells(side, places.device)
    squared = (centers[None, None] - centers[best][:, :, None]).square().sum(-1) * side**2
    near = places.masked_fill(squared > reach**2, float("-inf")).softmax(-1)
    return near @ centers


def max_sum(unary: Float[Tensor, "b n g"], links: Links, pairwise: Pairwise) -> Int[Tensor, "b n"]:
    """Find the cell of each node in the best configuration of a tree, by max-sum message passing.

    Args:
        unary: score of each node at each of g cells.
        links: n - 1 pairs that join all nodes, in any order and direction.
        pairwise: score of a link's two ends at every pair of cells; called once per link.

    Raises:
        ValueError: the links are not a tree.
    """
    b, n, _ = unary.shape
    order = _from_root(n, links)
    score = unary.clone()
    best: dict[int, Tensor] = {}
    for node, parent, link in reversed(order[1:]):
        pair = pairwise(link)
        if links[link][0] == parent:
            pair = pair.transpose(1, 2)  # (B, node's cells, parent's cells)
        total, best[node] = (score[:, node, :, None] + pair).max(dim=1)
        score[:, parent] += total
    cell = unary.new_zeros(b, n, dtype=torch.long)
    cell[:, order[0][0]] = score[:, order[0][0]].argmax(-1)
    for node, parent, _ in order[1:]:
        cell[:, node] = best[node].gather(1, cell[:, parent, None])[:, 0]
    return cell


def _from_root(n: int, links: Links) -> list[tuple[int, int, int]]:
    """Order the n nodes of a tree so that parents come first.

    Returns:
        (node, its parent, index of the link between them); -1 twice for the root.

    Raises:
        ValueError: the links are not a tree.
    """
    root = links[0][0] if links else 0
    order, visited = [(root, -1, -1)], {root}
    for node, _, _ in order:
        for k, (a, b) in enumerate(links):
            other = b if a == node else a if b == node else None
            if other is not None and other not in visited:
                visited.add(other)
                order.append((other, node, k))
    if len(order) != n or len(links) != n - 1:
        raise ValueError(f"links {list(links)} are no tree over {n} nodes")
    return order
