"""Pseudo-labels of the three stages: a space, its K centres, a temperature (eq. 1, Table 1).

- ``configuration``: the true landmarks (stage 1);
- ``offset``: delta = estimate of the stage before - truth (stage 2);
- ``context``: lin(delta x delta), the outer product of the offsets with themselves (stage 3).

Distances are in 224-px units (in their square for ``context``), labels are softmax(-d / T). The
paper's T is one of configurations; the other spaces have scales of their own, so theirs is in the same
ratio to the median distance to the nearest centre as T is in stage 1 (20 to 44.6 px on FLD).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fashion_ops.methods.alignment.dfa.routing import cluster_errors, configuration_error
from fashion_ops.methods.parts.contextual_kmeans import contextual_distances, fit_contextual
from fashion_ops.methods.parts.pseudo_labels import (
    FRAME,
    distances,
    fit_centers,
    soft_labels,
    temperature_of,
)

Space = Literal["configuration", "offset", "context"]
SPACES: tuple[Space, ...] = ("configuration", "offset", "context")
PAPER_T = 20.0


@dataclass(frozen=True)
class PseudoLabels:
    """Clusters of one space.

    ``centers``: (K, n, 2), or (K, 2n, 2n) of ``context``; ``errors``: e(C_k) (K,), normalised, the mean
    error of the estimate that the offsets belong to; zeros in stage 1, which has none before it.
    """

    space: Space
    centers: np.ndarray
    temperature: float
    errors: np.ndarray

    def distances(
        self, positions: np.ndarray, previous: np.ndarray | None, observed: np.ndarray
    ) -> np.ndarray:
        """Distance of each garment to each centre (N, K).

        Args:
            positions: true ones, (N, n, 2), normalised.
            previous: of the stage before, or None.
            observed: bool (N, n).
        """
        values = space_values(self.space, positions, previous)
        if self.space == "context":
            return contextual_distances(values, values, observed, self.centers)
        return distances(values, observed, self.centers)

    def soft(
        self, positions: np.ndarray, previous: np.ndarray | None, observed: np.ndarray
    ) -> np.ndarray:
        """Labels (N, K) that sum to 1; arguments as of ``distances``."""
        return soft_labels(self.distances(positions, previous, observed), self.temperature)


def space_values(space: Space, positions: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
    """What is clustered, (N, n, 2) in 224-px units: positions in the frame, or offsets."""
    if space == "configuration":
        return (positions + 0.5) * FRAME
    assert previous is not None, f"space {space!r} needs the positions of the stage before"
    return (previous - positions) * FRAME


def fit_labels(
    space: Space,
    positions: np.ndarray,
    previous: np.ndarray | None,
    observed: np.ndarray,
    clusters: int,
    temperature: float,
    seed: int,
) -> PseudoLabels:
    """Cluster the training garments.

    Args:
        space: what to cluster.
        positions: true ones, (N, n, 2), normalised.
        previous: of the stage before, (N, n, 2); None in stage 1.
        observed: bool (N, n); garments with nothing observed are left out.
        clusters: K, at most; fewer where there are fewer different garments.
        temperature: the paper's T, of configurations in 224 px.
        seed: of the start.
    """
    values = space_values(space, positions, previous)
    if space == "context":
        centers = fit_contextual(values, values, observed, clusters, seed)
    else:
        centers = fit_centers(values, observed, clusters, seed)
    fitted = PseudoLabels(space, centers, temperature, np.zeros(len(centers)))
    d = fitted.distances(positions, previous, observed)
    known = np.asarray(observed.any(axis=1))
    if space != "configuration":
        temperature = float(temperature / PAPER_T * temperature_of(d[known]))
    errors = fitted.errors
    if previous is not None:
        off = configuration_error(previous - positions, observed)
        errors = cluster_errors(off, d.argmin(axis=1), known, len(centers))
    return PseudoLabels(space, centers, temperature, errors)
