"""Types of relations: clusters of where a neighbour lies, for both directions of each link."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fashion_ops.methods.alignment.data import Shapes
from fashion_ops.methods.parts.pseudo_labels import FRAME, distances, fit_centers

TYPES = 6  # of each relation
MIN_SPREAD = 8 / FRAME  # normalised

Links = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Relation:
    """Positions of landmark ``end`` relative to landmark ``start``, one cluster per type.

    Attributes:
        start: index of a landmark.
        end: index of its neighbour.
        means: (T, 2), normalised differences of position.
        spread: (T, 2), standard deviations around the means.
    """

    start: int
    end: int
    means: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Tree:
    """The tree over the landmarks of one kind of garment.

    Attributes:
        slots: bool (n,), the landmarks that the kind has.
        links: pairs of these landmarks.
        relations: both directions of each link, one after the other.
    """

    slots: np.ndarray
    links: tuple[tuple[int, int], ...]
    relations: tuple[Relation, ...]


def make_trees(
    shapes: Shapes, links: Sequence[tuple[np.ndarray, Links]], seed: int
) -> tuple[Tree, ...]:
    """Fit the relations of each kind of garment.

    Args:
        shapes: the landmarks of the training garments.
        links: for each kind a mask (n,) of the landmarks that it has, and the links between them.
        seed: of the clustering.
    """
    trees = []
    for slots, pairs in links:
        members = shapes.take((shapes.slots == slots).all(axis=1))
        trees.append(Tree(slots, tuple(pairs), fit_relations(members, pairs, TYPES, seed)))
    return tuple(trees)


def fit_relations(shapes: Shapes, links: Links, types: int, seed: int) -> tuple[Relation, ...]:
    """Cluster the relative positions of each link into at most ``types`` types, in both directions.

    A link whose ends are never observed together gets one type of very large spread.

    Args:
        shapes: the landmarks of the training garments of one kind.
        links: pairs of landmark indices.
        types: largest number of types of a relation.
        seed: of the clustering.

    Returns:
        For each link the relation from its first to its second landmark, then the reverse.
    """
    relations = []
    for a, b in links:
        both = shapes.observed[:, a] & shapes.observed[:, b]
        for start, end in ((a, b), (b, a)):
            offsets = shapes.positions[both, end] - shapes.positions[both, start]
            relations.append(_relation(start, end, offsets, types, seed))
    return tuple(relations)


def _relation(start: int, end: int, offsets: np.ndarray, types: int, seed: int) -> Relation:
    """Cluster the offsets (N, 2) of ``end`` from ``start``, normalised; see ``fit_relations``."""
    if not len(offsets):
        return Relation(start, end, np.zeros((1, 2)), np.full((1, 2), 1e3))
    observed = np.ones((len(offsets), 1), bool)
    pixels = offsets[:, None] * FRAME
    centers = fit_centers(pixels, observed, types, seed)
    nearest = distances(pixels, observed, centers).argmin(axis=1)
    means = centers[:, 0] / FRAME
    spread = np.stack([_spread(offsets[nearest == t] - means[t]) for t in range(len(means))])
    return Relation(start, end, means, spread)


def _spread(residuals: np.ndarray) -> np.ndarray:
    """Compute the root mean squares (2,) of residuals (N, 2), not below ``MIN_SPREAD``."""
    return np.maximum(np.sqrt((residuals**2).mean(axis=0)) if len(residuals) else 0.0, MIN_SPREAD)
