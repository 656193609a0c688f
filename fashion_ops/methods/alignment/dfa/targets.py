"""Pseudo-labels of the three stages: a space, its K centres and a temperature (eq. 1, Table 1).

- ``configuration``: the true landmarks (stage 1);
- ``offset``: delta = the previous stage's estimate - the true landmarks (stage 2);
- ``context``: lin(delta x delta), the outer product of the offsets with themselves (stage 3).

Distances are in 224-px units (in their square for ``context``); labels are softmax(-d / T). The paper
gives T for configurations only. The other spaces have different scales, so their T has the same ratio
to the median distance to the nearest centre as in stage 1 (20 to 44.6 px on FLD).
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
from fashion_ops.params import DfaStage

Space = Literal["configuration", "offset", "context"]
SPACES: tuple[Space, ...] = ("configuration", "offset", "context")
PAPER_T = 20.0


@dataclass(frozen=True)
class PseudoLabels:
    """The clusters of one space, and soft labels from distances to them.

    Attributes:
        space: what is clustered.
        centers: (K, n, 2), or (K, 2n, 2n) for ``context``.
        temperature: T of the soft labels.
        errors: e(C_k) (K,), normalised: the mean error of the previous stage's estimate in each
            cluster; zeros in stage 1.
    """

    space: Space
    centers: np.ndarray
    temperature: float
    errors: np.ndarray

    def distances(
        self, positions: np.ndarray, previous: np.ndarray | None, observed: np.ndarray
    ) -> np.ndarray:
        """Compute the distance (N, K) of each garment to each centre, in the unit of the module.

        Args:
            positions: true positions (N, n, 2), normalised.
            previous: positions that the previous stage predicts (N, n, 2), normalised; None if the
                space is ``configuration``, which does not use them.
            observed: bool (N, n); landmarks that are not observed do not count.
        """
        values = space_values(self.space, positions, previous)
        if self.space == "context":
            return contextual_distances(values, values, observed, self.centers)
        return distances(values, observed, self.centers)

    def soft(
        self, positions: np.ndarray, previous: np.ndarray | None, observed: np.ndarray
    ) -> np.ndarray:
        """Compute soft labels (N, K) that sum to 1; arguments as of ``distances``."""
        return soft_labels(self.distances(positions, previous, observed), self.temperature)

    def mirrored(self, mirror: np.ndarray) -> np.ndarray:
        """Compute the soft label (K, K) of the mirror image of each centre, in the same clusters.

        The product of a garment's label with it approximates the label of the mirrored garment.

        Args:
            mirror: permutation (n,) of the landmarks under a horizontal flip.

        Raises:
            ValueError: the clusters are of the space ``context``.
        """
        if self.space == "context":
            raise ValueError("pseudo-labels of the space context cannot be mirrored")
        side = FRAME if self.space == "configuration" else 0.0
        images = self.centers[:, mirror] * [-1.0, 1.0] + [side, 0.0]
        apart = images[:, None] - self.centers[None]
        d = np.sqrt((apart**2).sum(axis=(2, 3)))
        return soft_labels(d, self.temperature)


def space_values(space: Space, positions: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
    """Compute the values (N, n, 2) that a space clusters, in 224-px units.

    Args:
        space: ``configuration`` clusters positions from the top left corner of the crop, ``offset``
            and ``context`` cluster ``previous - positions``.
        positions: true positions (N, n, 2), normalised.
        previous: the previous stage's positions (N, n, 2), normalised; None for ``configuration``.
    """
    if space == "configuration":
        return (positions + 0.5) * FRAME
    assert previous is not None, f"space {space!r} needs the positions of the previous stage"
    return (previous - positions) * FRAME


def fit_labels(
    config: DfaStage,
    space: Space,
    positions: np.ndarray,
    previous: np.ndarray | None,
    observed: np.ndarray,
    seed: int,
) -> PseudoLabels:
    """Cluster the training garments of one stage and fit the temperature of its soft labels.

    Args:
        config: ``clusters`` is K (fewer where there are fewer different garments), ``temperature`` the
            paper's T for configurations in 224-px units.
        space: what to cluster.
        positions: true positions (N, n, 2), normalised.
        previous: positions that the previous stage predicts (N, n, 2), normalised; None in stage 1.
        observed: bool (N, n); garments without any observed landmark are left out.
        seed: of the initial centres.
    """
    values = space_values(space, positions, previous)
    if space == "context":
        centers = fit_contextual(values, values, observed, config.clusters, seed)
    else:
        centers = fit_centers(values, observed, config.clusters, seed)
    temperature = config.temperature
    fitted = PseudoLabels(space, centers, temperature, np.zeros(len(centers)))
    d = fitted.distances(positions, previous, observed)
    known = np.asarray(observed.any(axis=1))
    if space != "configuration":
        temperature = float(temperature / PAPER_T * temperature_of(d[known]))
    errors = fitted.errors
    if previous is not None:
        sizes = configuration_error(previous - positions, observed)
        errors = cluster_errors(sizes, d.argmin(axis=1), known, len(centers))
    return PseudoLabels(space, centers, temperature, errors)
