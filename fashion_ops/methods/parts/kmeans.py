"""K-means by Lloyd's algorithm in any space that has distances and means.

``pseudo_labels`` defines the space of landmark configurations with missing landmarks,
``contextual_kmeans`` that of outer products that are never computed.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from threadpoolctl import threadpool_limits

MAX_ROUNDS = 100


@runtime_checkable
class Space(Protocol):
    """N items, and centres of them as arrays of one shape."""

    def __len__(self) -> int: ...

    def squared(self, centers: np.ndarray) -> np.ndarray:
        """Squared distances (N, k) to centres (k, ...)."""
        ...

    def mean(self, rows: np.ndarray, fallback: np.ndarray) -> np.ndarray:
        """The mean of the items at ``rows`` (bool); ``fallback`` where none of them is observed."""
        ...

    def at(self, row: int, fallback: np.ndarray) -> np.ndarray:
        """One item as a centre; ``fallback`` where it is not observed."""
        ...

    def middle(self) -> np.ndarray:
        """The mean of all items, which serves as ``fallback``."""
        ...


def fit(space: Space, k: int, seed: int, initial: np.ndarray | None = None) -> np.ndarray:
    """K-means centres (k, ...), the largest cluster first.

    Args:
        space: the items, at least one.
        k: maximal number of centres; fewer are returned if there are fewer different items.
        seed: of the initial centres by k-means++.
        initial: initial centres instead; their order is kept.
    """
    with threadpool_limits(1):  # the order of sums must not depend on the number of cores
        if initial is not None:
            return lloyd(space, initial)
        start = plus_plus(space, k, np.random.default_rng(seed))
        return largest_first(space, lloyd(space, start))


def plus_plus(space: Space, k: int, rng: np.random.Generator) -> np.ndarray:
    """Initial centres by k-means++: items drawn with probabilities by squared distance to the others.

    Fewer than ``k`` are returned if there are fewer different items.
    """
    fallback = space.middle()
    centers = [space.at(int(rng.integers(len(space))), fallback)]
    nearest = np.full(len(space), np.inf)
    while len(centers) < k:
        nearest = np.minimum(nearest, space.squared(centers[-1][None])[:, 0])
        total = np.cumsum(nearest)
        if total[-1] <= 1e-6 * len(space):
            break
        row = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        centers.append(space.at(row, fallback))
    return np.stack(centers)


def lloyd(space: Space, centers: np.ndarray, rounds: int = MAX_ROUNDS) -> np.ndarray:
    """Iterate until assignments no longer change; returns the centres.

    An empty cluster takes the item that is farthest from its centre.
    """
    fallback = space.middle()
    nearest = np.full(len(space), -1)
    for _ in range(rounds):
        squared = space.squared(centers)
        fresh = squared.argmin(axis=1)
        for empty in np.flatnonzero(np.bincount(fresh, minlength=len(centers)) == 0):
            farthest = int(squared[np.arange(len(space)), fresh].argmax())
            fresh[farthest] = empty
            squared[farthest] = 0.0
        if (fresh == nearest).all():
            break
        nearest = fresh
        centers = np.stack([space.mean(nearest == j, fallback) for j in range(len(centers))])
    return centers


def largest_first(space: Space, centers: np.ndarray) -> np.ndarray:
    """The centres sorted by the number of items nearest to each."""
    sizes = np.bincount(space.squared(centers).argmin(axis=1), minlength=len(centers))
    return centers[np.argsort(-sizes, kind="stable")]
