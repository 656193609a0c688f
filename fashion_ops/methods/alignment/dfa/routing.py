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
    """Compute the norm of each configuration's offsets, rescaled from its observed to all landmarks.

    Args:
        offsets: predicted minus true positions (N, n, 2), normalised.
        observed: bool (N, n).

    Returns:
        (N,); 0 where nothing is observed.
    """
    squared = (np.where(observed[..., None], offsets, 0.0) ** 2).sum(axis=(1, 2))
    return np.sqrt(squared * observed.shape[1] / np.maximum(observed.sum(axis=1), 1))


def cluster_errors(
    errors: np.ndarray, nearest: np.ndarray, known: np.ndarray, clusters: int
) -> np.ndarray:
    """Compute e(C_k) (K,), the mean error of each cluster's members; of all garments if it has none.

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
    """Compute the error G (N,) to expect of each garment: the cluster errors weighted by its labels.

    Args:
        labels: predicted pseudo-labels (N, K) that sum to 1.
        errors: e(C_k) (K,), of ``cluster_errors``.
    """
    return labels @ errors


def halving_epsilon(labels: np.ndarray, errors: np.ndarray) -> float:
    """Compute the epsilon for which as many garments are easy as hard: the median of their G.

    Arguments as of ``expected_error``.
    """
    return float(np.median(expected_error(labels, errors)))


def route(labels: np.ndarray, errors: np.ndarray, epsilon: float) -> np.ndarray:
    """Choose ``EASY`` (G below ``epsilon``) or ``HARD`` for each garment (N,).

    ``labels`` and ``errors`` are those of ``expected_error``.
    """
    return np.where(expected_error(labels, errors) < epsilon, EASY, HARD)
