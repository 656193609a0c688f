"""K-means on outer products without computing them: contextual offsets of DFA (stage 3).

Each item is the matrix u v^T of two vectors of length d. Its d^2 numbers are never stored, because what
k-means needs factorises:

- |u v^T - C|^2 = |u|^2 |v|^2 - 2 u^T C v + |C|^2, where a batch of u^T C_k is one matrix product;
- the mean of a cluster of n items is U^T V / n, with their vectors as rows.

Memory is N x d and k x d^2 instead of N x d^2. Rows and columns of landmarks that are not observed are
masked as in ``pseudo_labels``.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.methods.parts import kmeans

_BATCH_NUMBERS = 1 << 21  # of the largest intermediate array, 16 MiB


@dataclass(frozen=True)
class OuterProducts:
    """Outer products of the rows of ``left`` and ``right``, (N, d) each: a ``kmeans.Space``.

    ``mask`` (N, d) says which coordinates are observed, or is None where all are.
    """

    left: np.ndarray
    right: np.ndarray
    mask: np.ndarray | None

    @classmethod
    def from_landmarks(
        cls, left: np.ndarray, right: np.ndarray, observed: np.ndarray | None = None
    ) -> "OuterProducts":
        """Flatten landmarks (N, n, 2) each; ``observed``, bool (N, n), is None if all are."""
        count = len(left)
        u, v = (np.asarray(x, np.float64).reshape(count, -1) for x in (left, right))
        if observed is None or observed.all():
            return cls(u, v, None)
        mask = np.repeat(observed, u.shape[1] // observed.shape[1], axis=1).astype(np.float64)
        return cls(np.where(mask > 0, u, 0.0), np.where(mask > 0, v, 0.0), mask)

    def __len__(self) -> int:
        return len(self.left)

    def squared(self, centers: np.ndarray) -> np.ndarray:
        """Compute the squared distances (N, k) to centres (k, d, d).

        Only observed entries count; their sum is rescaled to all d^2.
        """
        k, d, _ = centers.shape
        step = max(1, _BATCH_NUMBERS // (k * d))
        flat = np.ascontiguousarray(centers.transpose(1, 0, 2)).reshape(d, k * d)
        squares = flat**2 if self.mask is not None else flat
        size = (centers**2).sum(axis=(1, 2))
        out = np.empty((len(self), k))
        for start in range(0, len(self), step):
            rows = slice(start, start + step)
            u, v = self.left[rows], self.right[rows]
            norm = np.einsum("nd,nd->n", u, u) * np.einsum("nd,nd->n", v, v)
            cross = ((u @ flat).reshape(-1, k, d) @ v[:, :, None])[..., 0]
            if self.mask is not None:
                m = self.mask[rows]
                size = ((m @ squares).reshape(-1, k, d) @ m[:, :, None])[..., 0]
            total = np.maximum(norm[:, None] - 2 * cross + size, 0.0)
            out[rows] = total if self.mask is None else total * self._weight(rows)[:, None]
        return out

    def mean(self, rows: np.ndarray, fallback: np.ndarray) -> np.ndarray:
        """Compute the mean matrix (d, d) of the products at ``rows``, else ``fallback`` (d, d)."""
        u, v = self.left[rows], self.right[rows]
        if self.mask is None:
            return u.T @ v / max(len(u), 1)
        m, weight = self.mask[rows], self._weight(rows)[:, None]
        total = (m * weight).T @ m
        return np.where(total > 0, (u * weight).T @ v / np.maximum(total, 1e-12), fallback)

    def at(self, row: int, fallback: np.ndarray) -> np.ndarray:
        """Compute one product (d, d), its masked entries from ``fallback`` (d, d)."""
        product = np.outer(self.left[row], self.right[row])
        if self.mask is None:
            return product
        return np.where(np.outer(self.mask[row], self.mask[row]) > 0, product, fallback)

    def middle(self) -> np.ndarray:
        """Compute the mean (d, d) of all products; 0 where none is observed."""
        d = self.left.shape[1]
        return self.mean(np.ones(len(self), bool), np.zeros((d, d)))

    def _weight(self, rows: slice | np.ndarray) -> np.ndarray:
        """Compute the factor of each item that rescales its observed entries to all d^2."""
        assert self.mask is not None
        return self.mask.shape[1] ** 2 / np.maximum(self.mask[rows].sum(axis=1), 1.0) ** 2


def fit_contextual(
    left: np.ndarray,
    right: np.ndarray,
    observed: np.ndarray | None,
    k: int,
    seed: int,
    *,
    initial: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the k-means centres (k, d, d) of outer products, the largest cluster first.

    Args:
        left: (N, n, 2), for DFA the offsets; d is 2n.
        right: (N, n, 2), for DFA the offsets again, or the configurations.
        observed: bool (N, n), or None; items without an observed landmark are left out.
        k: largest number of centres; fewer are returned if there are fewer different items.
        seed: of the initial centres by k-means++.
        initial: centres (k, d, d) to start from instead; their order is kept.
    """
    if observed is not None:
        rows = observed.any(axis=1)
        left, right, observed = left[rows], right[rows], observed[rows]
    space = OuterProducts.from_landmarks(left, right, observed)
    if not len(space):
        return np.zeros((0, space.left.shape[1], space.left.shape[1]))
    return kmeans.fit(space, k, seed, initial)


def contextual_distances(
    left: np.ndarray, right: np.ndarray, observed: np.ndarray | None, centers: np.ndarray
) -> np.ndarray:
    """Compute the distance (N, k) of each outer product to each centre (k, d, d).

    The other arguments are those of ``fit_contextual``.
    """
    return np.sqrt(OuterProducts.from_landmarks(left, right, observed).squared(centers))
