"""Auto-routing (eq. 2): which of stage 3's two networks a garment goes through.

A cluster of stage 2's pseudo-labels is a typical error of stage 1; e(C_k) is how large that error is
on average. The label that stage 2 predicts for a garment weighs these: G = sum_k e(C_k) f(k). Below
epsilon the garment is easy (branch 1 of the paper), else hard. Errors are those of the whole
configuration, in normalised coordinates: only there epsilon = 0.3 separates anything.
"""

import numpy as np

EASY, HARD = 0, 1


def configuration_error(offsets: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """|delta l|_2 of whole configurations, over what is observed, rescaled to all of it.

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
    """e(C_k): mean error of each cluster's members (K,); that of all garments for an empty cluster.

    Args:
        errors: (N,) of ``configuration_error``.
        nearest: (N,) cluster of each garment.
        known: bool (N,), garments with anything observed.
        clusters: K.
    """
    counts = np.bincount(nearest[known], minlength=clusters)
    sums = np.bincount(nearest[known], weights=errors[known], minlength=clusters)
    overall = float(errors[known].mean()) if known.any() else 0.0
    return np.where(counts > 0, sums / np.maximum(counts, 1), overall)


def expected_error(labels: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """G (N,) of predicted pseudo-labels (N, K) that sum to 1."""
    return labels @ errors


def halving_epsilon(labels: np.ndarray, errors: np.ndarray) -> float:
    """The median of G: as many easy garments as hard ones, whatever the size of the errors."""
    return float(np.median(expected_error(labels, errors)))


def route(labels: np.ndarray, errors: np.ndarray, epsilon: float) -> np.ndarray:
    """``EASY`` or ``HARD`` for each garment."""
    return np.where(expected_error(labels, errors) < epsilon, EASY, HARD)
