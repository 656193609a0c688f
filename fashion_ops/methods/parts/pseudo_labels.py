"""Pseudo-labels: clusters of landmark configurations, as soft labels (DFA, Liu et al., ECCV 2016).

Landmarks are put into a common frame, the garment's box letterboxed into 224 x 224; k-means finds K
typical configurations; a garment's label is f(k) = softmax(-d_k / T) over its distances to them. The
paper's T = 20 only means something with distances in 224-px units and labels that sum to 1.

Landmarks that are not labelled are left out of every distance, which is then rescaled by
sqrt(2n / observed dimensions); occluded ones count like visible ones. The paper does not say what
it does with them. Stages 2 and 3 of DFA cluster other spaces with the same functions.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from fashion_ops.methods.parts.frames import SIDE as FRAME
from fashion_ops.methods.parts.frames import letterbox

MAX_ROUNDS = 100


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
    points, mask, weight = _flatten(landmarks, observed)
    return np.sqrt(_squared(points, mask, weight, centers.reshape(len(centers), -1)))


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
        points, mask, weight = _flatten(landmarks[rows], observed[rows])
        centers = np.zeros((0, points.shape[1]))
        if len(points):
            centers = _start(points, mask, weight, k, np.random.default_rng(seed))
            centers = _lloyd(points, mask, weight, centers)
            nearest = _squared(points, mask, weight, centers).argmin(axis=1)
            sizes = np.bincount(nearest, minlength=len(centers))
            centers = centers[np.argsort(-sizes, kind="stable")]
    return centers.reshape(len(centers), *landmarks.shape[1:])


def soft_labels(d: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(-d / T) over the last axis; rows sum to 1."""
    scaled = -(d - d.min(axis=-1, keepdims=True)) / temperature
    weights = np.exp(scaled)
    return weights / weights.sum(axis=-1, keepdims=True)


def _flatten(landmarks: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 2n) points, zeros where unobserved; their mask; the rescaling of squared distances."""
    mask = np.repeat(observed, landmarks.shape[2], axis=1).astype(np.float64)
    points = np.where(mask > 0, landmarks.reshape(mask.shape), 0.0)
    return points, mask, mask.shape[1] / np.maximum(mask.sum(axis=1), 1.0)


def _squared(
    points: np.ndarray, mask: np.ndarray, weight: np.ndarray, centers: np.ndarray
) -> np.ndarray:
    """Squared masked distances (N, k): |m x|^2 - 2 (m x) c + m c^2, without an (N, k, 2n) array."""
    own = np.einsum("nd,nd->n", points, points)[:, None]
    total = own - 2 * points @ centers.T + mask @ (centers**2).T
    return np.maximum(total, 0.0) * weight[:, None]


def _start(
    points: np.ndarray, mask: np.ndarray, weight: np.ndarray, k: int, rng: np.random.Generator
) -> np.ndarray:
    """K-means++: each further centre is a configuration drawn by its squared distance to the others."""
    fallback = _mean(points, mask, np.ones(len(points)), np.full(points.shape[1], FRAME / 2))
    row = int(rng.integers(len(points)))
    centers = [np.where(mask[row] > 0, points[row], fallback)]
    nearest = np.full(len(points), np.inf)
    while len(centers) < k:
        nearest = np.minimum(nearest, _squared(points, mask, weight, centers[-1][None])[:, 0])
        total = np.cumsum(nearest)
        if total[-1] <= 1e-6 * len(points):
            break
        row = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        centers.append(np.where(mask[row] > 0, points[row], fallback))
    return np.stack(centers)


def _lloyd(points: np.ndarray, mask: np.ndarray, weight: np.ndarray, centers: np.ndarray) -> np.ndarray:
    fallback = _mean(points, mask, np.ones(len(points)), np.full(points.shape[1], FRAME / 2))
    nearest = np.full(len(points), -1)
    for _ in range(MAX_ROUNDS):
        squared = _squared(points, mask, weight, centers)
        fresh = squared.argmin(axis=1)
        for empty in np.flatnonzero(np.bincount(fresh, minlength=len(centers)) == 0):
            farthest = int(squared[np.arange(len(points)), fresh].argmax())
            fresh[farthest] = empty
            squared[farthest] = 0.0
        if (fresh == nearest).all():
            break
        nearest = fresh
        centers = np.stack(
            [
                _mean(points[nearest == j], mask[nearest == j], weight[nearest == j], fallback)
                for j in range(len(centers))
            ]
        )
    return centers


def _mean(points: np.ndarray, mask: np.ndarray, weight: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Where the weighted masked squared distances are least; ``fallback`` where nothing is observed."""
    total = weight @ mask
    return np.where(total > 0, (weight @ points) / np.maximum(total, 1e-12), fallback)
