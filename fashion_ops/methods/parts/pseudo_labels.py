"""Pseudo-labels: clusters of landmark configurations, as soft labels (DFA, Liu et al., ECCV 2016).

Landmarks are mapped to a common frame, the box of the garment letterboxed to 224 x 224. K-means finds K
typical configurations. The label of a garment is f(k) = softmax(-d_k / T) over its distances to them.
The paper's T = 20 presumes distances in 224-px units and labels that sum to 1.

Landmarks without a label are left out of every distance, which is then rescaled by
sqrt(2n / observed dimensions); occluded ones count like visible ones. The paper does not define either.
Stages 2 and 3 of DFA cluster other spaces with the same functions.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.methods.parts import kmeans
from fashion_ops.methods.parts.frames import SIDE as FRAME
from fashion_ops.methods.parts.frames import letterbox


def to_frame(landmarks: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Map landmarks to the square that the box of their garment is letterboxed into.

    Args:
        landmarks: (N, n, 2) in pixels of the image.
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the image.

    Returns:
        (N, n, 2), 0..``FRAME`` inside the box.
    """
    return letterbox(boxes, FRAME).apply(landmarks)


def distances(landmarks: np.ndarray, observed: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Distance of each configuration to each centre over the observed landmarks, rescaled to all.

    Args:
        landmarks: (N, n, 2).
        observed: bool (N, n).
        centers: (k, n, 2), in the unit of the landmarks.

    Returns:
        (N, k), in the unit of the landmarks; 0 where no landmark is observed.
    """
    space = Configurations.from_landmarks(landmarks, observed)
    return np.sqrt(space.squared(centers.reshape(len(centers), -1)))


def fit_centers(landmarks: np.ndarray, observed: np.ndarray, k: int, seed: int) -> np.ndarray:
    """K-means centres (k, n, 2) of configurations, the largest cluster first.

    Lloyd's algorithm on masked distances, initialised by k-means++. Fewer than ``k`` centres are
    returned if there are fewer different configurations. A landmark that no member of a cluster has
    takes its mean over all configurations, or the middle of the frame if none has it.

    Args:
        landmarks: (N, n, 2).
        observed: bool (N, n); configurations without an observed landmark are left out.
        k: largest number of centres.
        seed: of the initial centres.
    """
    rows = observed.any(axis=1)
    space = Configurations.from_landmarks(landmarks[rows], observed[rows])
    centers = kmeans.fit(space, k, seed) if len(space) else np.zeros((0, space.points.shape[1]))
    return centers.reshape(len(centers), *landmarks.shape[1:])


def soft_labels(d: np.ndarray, temperature: float) -> np.ndarray:
    """Turn distances d (..., k) into labels softmax(-d / T) over the last axis, which sums to 1.

    ``temperature`` T has the unit of the distances.
    """
    scaled = -(d - d.min(axis=-1, keepdims=True)) / temperature
    weights = np.exp(scaled)
    return weights / weights.sum(axis=-1, keepdims=True)


def temperature_of(d: np.ndarray) -> float:
    """Derive the temperature for a space as a share of the median distance to the nearest centre.

    In the 224-pixel space of stage 1 this gives the paper's 20, see ``docs/decisions.md``; stages 2 and
    3 cluster offsets and outer products, which have other units.

    Args:
        d: (N, k) distances of training configurations.
    """
    return float(max(0.45 * np.median(d.min(axis=1)), 1e-12))


def perplexity(labels: np.ndarray) -> np.ndarray:
    """Compute the exponential (N,) of the entropy of each soft label (N, k): 1 one-hot, k uniform."""
    labels = labels.astype(np.float64)
    return np.exp(-(labels * np.log(np.maximum(labels, 1e-30))).sum(axis=-1))


@dataclass(frozen=True)
class Configurations:
    """Landmark configurations as vectors with missing coordinates: a ``kmeans.Space``.

    ``points`` (N, 2n) are zero where ``mask`` is; ``weight`` (N,) rescales squared distances.
    """

    points: np.ndarray
    mask: np.ndarray
    weight: np.ndarray

    @classmethod
    def from_landmarks(cls, landmarks: np.ndarray, observed: np.ndarray) -> "Configurations":
        """Flatten landmarks (N, n, 2), of which bool (N, n) says which are observed."""
        mask = np.repeat(observed, landmarks.shape[2], axis=1).astype(np.float64)
        points = np.where(mask > 0, landmarks.reshape(mask.shape), 0.0)
        return cls(points, mask, mask.shape[1] / np.maximum(mask.sum(axis=1), 1.0))

    def __len__(self) -> int:
        return len(self.points)

    def squared(self, centers: np.ndarray) -> np.ndarray:
        """Compute the weighted squared distances (N, k) to centres (k, 2n), over observed coordinates.

        As |m x|^2 - 2 (m x) c + m c^2 with the mask m, which needs no array (N, k, 2n).
        """
        norm = np.einsum("nd,nd->n", self.points, self.points)[:, None]
        total = norm - 2 * self.points @ centers.T + self.mask @ (centers**2).T
        return np.maximum(total, 0.0) * self.weight[:, None]

    def mean(self, rows: np.ndarray, fallback: np.ndarray) -> np.ndarray:
        """Compute the point (2n,) with the least sum of weighted squared distances to some points.

        ``rows`` are the indices of these points, or a boolean mask. Coordinates that none of them has
        are taken from ``fallback`` (2n,).
        """
        return _mean(self.points[rows], self.mask[rows], self.weight[rows], fallback)

    def at(self, row: int, fallback: np.ndarray) -> np.ndarray:
        """Return one point (2n,), its missing coordinates from ``fallback`` (2n,)."""
        return np.where(self.mask[row] > 0, self.points[row], fallback)

    def middle(self) -> np.ndarray:
        """Compute the unweighted mean (2n,) of all points, in 224-px units.

        A coordinate that none has is 112, the middle of the frame.
        """
        middle = np.full(self.points.shape[1], FRAME / 2)
        return _mean(self.points, self.mask, np.ones(len(self.points)), middle)


def _mean(points: np.ndarray, mask: np.ndarray, weight: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Compute the weighted mean (2n,) over the observed coordinates, else ``fallback`` (2n,)."""
    total = weight @ mask
    return np.where(total > 0, (weight @ points) / np.maximum(total, 1e-12), fallback)
