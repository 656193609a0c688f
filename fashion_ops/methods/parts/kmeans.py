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

    def __len__(self) -> int:
        """N."""
        ...

    def squared(self, centers: np.ndarray) -> np.ndarray:
        """Compute the squared distances (N, k) of the items to centres (k, ...)."""
        ...

    def mean(self, rows: np.ndarray, fallback: np.ndarray) -> np.ndarray:
        """Compute the mean of the items in ``rows``, bool (N,).

        A coordinate that none of them has is taken from ``fallback``, an array like a centre.
        """
        ...

    def at(self, row: int, fallback: np.ndarray) -> np.ndarray:
        """Return one item as a centre; a coordinate that it lacks is taken from ``fallback``."""
        ...

    def middle(self) -> np.ndarray:
        """Compute the mean of all items, which serves as ``fallback``."""
        ...


def fit(space: Space, k: int, seed: int, initial: np.ndarray | None = None) -> np.ndarray:
    """Compute the k-means centres (k, ...), the largest cluster first.

    Args:
        space: the items, at least one.
        k: largest number of centres; fewer are returned if there are fewer different items.
        seed: of the initial centres by k-means++.
        initial: centres (k, ...) to start from instead; ``k`` and ``seed`` are then ignored, and the
            order of the centres is kept.
    """
    with threadpool_limits(1):  # the order of sums must not depend on the number of cores
        if initial is not None:
            return lloyd(space, initial)
        start = plus_plus(space, k, np.random.default_rng(seed))
        return largest_first(space, lloyd(space, start))


def plus_plus(space: Space, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw initial centres (k, ...) by k-means++.

    Each is an item, drawn with a probability proportional to its squared distance to the nearest centre
    drawn before. Fewer than ``k`` are returned if there are fewer different items.
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
    """Iterate Lloyd's algorithm until assignments no longer change, at most ``rounds`` times.

    An empty cluster takes the item that is farthest from its centre. Returns the centres, in order.
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
    """Sort the centres by the number of items nearest to each, most first."""
    sizes = np.bincount(space.squared(centers).argmin(axis=1), minlength=len(centers))
    return centers[np.argsort(-sizes, kind="stable")]
