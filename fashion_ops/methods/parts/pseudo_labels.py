"""Pseudo-labels: clusters of landmark configurations, as soft labels (DFA, Liu et al., ECCV 2016).

Landmarks are put into a common frame, the garment's box letterboxed into 224 x 224; k-means finds K
typical configurations; a garment's label is f(k) = softmax(-d_k / T) over its distances to them. The
paper's T = 20 only means something with distances in 224-px units and labels that sum to 1.

Landmarks that are not labelled are left out of every distance, which is then rescaled by
sqrt(2n / observed dimensions); occluded ones count like visible ones. The paper does not say what
it does with them. Stages 2 and 3 of DFA cluster other spaces with the same functions.
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from fashion_ops.methods.parts import kmeans
from fashion_ops.methods.parts.frames import SIDE as FRAME
from fashion_ops.methods.parts.frames import letterbox


def to_frame(landmarks: np.ndarray, boxes: np.ndarray, side: float = FRAME) -> np.ndarray:
    """Landmarks (N, n, 2) in pixels -> the square in which their box (N, 4) is letterboxed, centred."""
    return letterbox(boxes, side).apply(landmarks)


def distances(landmarks: np.ndarray, observed: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Distance of each configuration to each centre over what is observed, rescaled to all of it.

    Args:
        landmarks: (N, n, 2).
        observed: bool (N, n).
        centers: (k, n, 2).

    Returns:
        (N, k), in the unit of the landmarks; 0 where nothing is observed.
    """
    space = Configurations.of(landmarks, observed)
    return np.sqrt(space.squared(centers.reshape(len(centers), -1)))


def fit_centers(landmarks: np.ndarray, observed: np.ndarray, k: int, seed: int) -> np.ndarray:
    """K-means centres (k, n, 2) of configurations, the largest cluster first.

    Lloyd's algorithm on masked distances, started by k-means++. Fewer than ``k`` centres come back
    where there are fewer different configurations. A landmark that no member of a cluster shows takes
    its mean over all configurations, or the middle of the frame if nobody shows it.

    Args:
        landmarks: (N, n, 2).
        observed: bool (N, n); configurations with nothing observed are left out.
        k: how many at most.
        seed: of the start.
    """
    with threadpool_limits(1):  # sums in one order, whatever the number of cores
        rows = observed.any(axis=1)
        space = Configurations.of(landmarks[rows], observed[rows])
        centers = np.zeros((0, landmarks.shape[1] * landmarks.shape[2]))
        if len(space):
            start = kmeans.plus_plus(space, k, np.random.default_rng(seed))
            centers = kmeans.largest_first(space, kmeans.lloyd(space, start))
    return centers.reshape(len(centers), *landmarks.shape[1:])


def soft_labels(d: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(-d / T) over the last axis; rows sum to 1."""
    scaled = -(d - d.min(axis=-1, keepdims=True)) / temperature
    weights = np.exp(scaled)
    return weights / weights.sum(axis=-1, keepdims=True)


def temperature_of(d: np.ndarray, share: float = 0.45) -> float:
    """The temperature of a space of any scale: a share of the median distance to the nearest centre.

    In stage 1's 224-pixel space this gives the paper's 20; stages 2 and 3 cluster offsets and outer
    products, whose unit is another.

    Args:
        d: (N, k) distances of training configurations.
        share: see ``docs/decisions.md``.
    """
    return float(max(share * np.median(d.min(axis=1)), 1e-12))


def perplexity(labels: np.ndarray) -> np.ndarray:
    """Exponential of the entropy of each soft label (N, k): 1 is one-hot, k uniform."""
    labels = labels.astype(np.float64)
    return np.exp(-(labels * np.log(np.maximum(labels, 1e-30))).sum(axis=-1))


@dataclass(frozen=True)
class Configurations:
    """Landmark configurations as vectors with holes: a ``kmeans.Space``.

    ``points`` (N, 2n) are zero where ``mask`` is; ``weight`` (N,) rescales squared distances.
    """

    points: np.ndarray
    mask: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, landmarks: np.ndarray, observed: np.ndarray) -> "Configurations":
        """From (N, n, 2) landmarks and bool (N, n)."""
        mask = np.repeat(observed, landmarks.shape[2], axis=1).astype(np.float64)
        points = np.where(mask > 0, landmarks.reshape(mask.shape), 0.0)
        return cls(points, mask, mask.shape[1] / np.maximum(mask.sum(axis=1), 1.0))

    def __len__(self) -> int:
        return len(self.points)

    def squared(self, centers: np.ndarray) -> np.ndarray:
        """(N, k): |m x|^2 - 2 (m x) c + m c^2, without an (N, k, 2n) array."""
        own = np.einsum("nd,nd->n", self.points, self.points)[:, None]
        total = own - 2 * self.points @ centers.T + self.mask @ (centers**2).T
        return np.maximum(total, 0.0) * self.weight[:, None]

    def mean(self, rows: np.ndarray, fallback: np.ndarray) -> np.ndarray:
        """Where the weighted masked squared distances are least."""
        return _mean(self.points[rows], self.mask[rows], self.weight[rows], fallback)

    def at(self, row: int, fallback: np.ndarray) -> np.ndarray:
        return np.where(self.mask[row] > 0, self.points[row], fallback)

    def middle(self) -> np.ndarray:
        """Mean of all; the middle of the frame where nobody shows a landmark."""
        middle = np.full(self.points.shape[1], FRAME / 2)
        return _mean(self.points, self.mask, np.ones(len(self.points)), middle)


def _mean(points: np.ndarray, mask: np.ndarray, weight: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    total = weight @ mask
    return np.where(total > 0, (weight @ points) / np.maximum(total, 1e-12), fallback)
