"""Types of relations: clusters of where a neighbour lies, for both directions of each link."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fashion_ops.methods.alignment.crops import Shapes
from fashion_ops.methods.parts.pseudo_labels import FRAME, distances, fit_centers

FLOOR = 8 / FRAME  # a relation is never more precise than this, normalised


@dataclass(frozen=True)
class Relation:
    """From ``start`` to ``end``: typical differences of position (T, 2) and their spread (T, 2)."""

    start: int
    end: int
    means: np.ndarray
    spread: np.ndarray


def fit_relations(
    shapes: Shapes, links: Sequence[tuple[int, int]], types: int, seed: int
) -> tuple[Relation, ...]:
    """Both directions of each link, one behind the other.

    A link whose ends are never seen together gets one type of no opinion.
    """
    out = []
    for a, b in links:
        both = shapes.observed[:, a] & shapes.observed[:, b]
        for start, end in ((a, b), (b, a)):
            offsets = shapes.positions[both, end] - shapes.positions[both, start]
            out.append(_relation(start, end, offsets, types, seed))
    return tuple(out)


def _relation(start: int, end: int, offsets: np.ndarray, types: int, seed: int) -> Relation:
    if not len(offsets):
        return Relation(start, end, np.zeros((1, 2)), np.full((1, 2), 1e3))
    seen = np.ones((len(offsets), 1), bool)
    pixels = offsets[:, None] * FRAME
    means = fit_centers(pixels, seen, types, seed)
    nearest = distances(pixels, seen, means).argmin(axis=1)
    means = means[:, 0] / FRAME
    spread = np.stack([_spread(offsets[nearest == t] - means[t]) for t in range(len(means))])
    return Relation(start, end, means, spread)


def _spread(rest: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt((rest**2).mean(axis=0)) if len(rest) else 0.0, FLOOR)


def nearest_type(relation: Relation, positions: np.ndarray) -> np.ndarray:
    """Type (N,) of each garment's relation, from positions (N, n, 2)."""
    offsets = positions[:, relation.end] - positions[:, relation.start]
    scaled = (offsets[:, None] - relation.means[None]) / relation.spread[None]
    return (scaled**2).sum(-1).argmin(axis=1)
