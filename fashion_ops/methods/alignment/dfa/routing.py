"""Auto-routing (eq. 2): which of stage 3's two networks a garment passes through.

A cluster of stage 2's pseudo-labels is a typical error of stage 1; e(C_k) is the mean size of that
error. The pseudo-label f that stage 2 predicts for a garment weights them: G = sum_k e(C_k) f(k). A
garment with G below epsilon is easy (branch 1 of the paper), any other is hard. Errors are those of
whole configurations in normalised coordinates, the only scale on which epsilon = 0.3 separates
garments.
"""

import numpy as np

EASY, HARD = 0, 1


def configuration_error(offsets: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Norm of the offsets of whole configurations, rescaled from the observed to all landmarks.

    Args:
        offsets: (N, n, 2), normalised.
        observed: bool (N, n).

    Returns:
        (N,); 0 where nothing is observed.
    """
    squared = (np.where(observed[..., None], offsets, 0.0) ** 2).sum(axis=(1, 2))
    return np.sqrt(squared * observed.shape[1] / np.maximum(observed.sum(axis=1), 1))


def cluster_errors(
    errors: np.ndarray, nearest: np.ndarray, known: np.ndarray, clusters: int
) -> np.ndarray:
    """Mean error e(C_k) of each cluster's members (K,); the overall mean for an empty cluster.

    Args:
        errors: (N,) of ``configuration_error``.
        nearest: (N,) cluster of each garment.
        known: bool (N,), garments with any observed landmark.
        clusters: K.
    """
    counts = np.bincount(nearest[known], minlength=clusters)
    sums = np.bincount(nearest[known], weights=errors[known], minlength=clusters)
    overall = float(errors[known].mean()) if known.any() else 0.0
    return np.where(counts > 0, sums / np.maximum(counts, 1), overall)


def expected_error(labels: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """G (N,) of predicted pseudo-labels (N, K) that sum to 1 and cluster errors (K,)."""
    return labels @ errors


def halving_epsilon(labels: np.ndarray, errors: np.ndarray) -> float:
    """The median of G, which makes as many garments easy as hard."""
    return float(np.median(expected_error(labels, errors)))


def route(labels: np.ndarray, errors: np.ndarray, epsilon: float) -> np.ndarray:
    """``EASY`` or ``HARD`` for each garment (N,); arguments as of ``expected_error``."""
    return np.where(expected_error(labels, errors) < epsilon, EASY, HARD)
