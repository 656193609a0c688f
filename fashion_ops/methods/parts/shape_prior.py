"""A shape prior: where a category's landmarks lie in the garment's box, and how they move together.

The positions of n landmarks in the frame of the box, 2n numbers, follow a factor analysis::

    x = mean + basis z + e,    z ~ N(0, I),    e ~ N(0, diag(noise))

as in active shape models (Cootes et al., CVIU 1995) with probabilistic PCA's reading of the basis
(Tipping and Bishop, J. R. Stat. Soc. B 1999) and a noise of its own for each number. ``shape_fit``
estimates it from labels. A network's landmarks are observations y of it with errors of Student's t,
whose scale comes from the height of their heatmap's peak, or from the deviation that a head without
heatmaps predicts; a landmark that disagrees with the others loses its weight in a few steps of EM
(Lange, Little and Taylor, JASA 1989). A detector's box is itself an observation: shift and scale of its
frame are four more unknowns.

The result is the mean of the landmarks given all observations, and their standard deviations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from safetensors.numpy import save_file
from torch import Tensor

from fashion_ops.errors.reading import mend, read_arrays
from fashion_ops.taxonomy import CATEGORIES, category

FILE = "shape_prior.safetensors"
BOX_SHIFT, BOX_SCALE = 0.05, 0.08  # deviations of a detected box's middle and side, in its sides
FREEDOM = 3.0  # degrees of freedom of Student's t
LEAST_STD = 0.2  # of an observed landmark, cells
SHARE = 0.5  # of a peak's variance that counts, as networks are more often right than their maps say
UNDERSTATED = 2.4  # what a network says of its errors holds together with the prior for too few of them
_STEPS = 5  # of EM
_PEAKS = 0.02, 0.98  # a peak's height counts as at least and at most this
_PARTS = ("mean", "basis", "noise")


@dataclass(frozen=True)
class ShapePrior:
    """The prior of a category with n landmarks, in the frame of ``box_frames``; all float32.

    Attributes:
        mean: (n, 2).
        basis: (n, 2, q).
        noise: (n, 2), variances.
    """

    mean: np.ndarray
    basis: np.ndarray
    noise: np.ndarray


class Posterior(NamedTuple):
    """Landmarks (N, n, 2) and their deviations (N, n) in each direction, in pixels of the image."""

    landmarks: np.ndarray
    deviations: np.ndarray


def apply_priors(
    priors: Mapping[int, ShapePrior],
    poses: Sequence[np.ndarray],
    stds: Sequence[np.ndarray],
    boxes: np.ndarray,
    category_ids: np.ndarray,
    *,
    detected: bool,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Correct the landmarks of N garments by the priors of their categories.

    Args:
        priors: by category id; garments of other categories stay as they are.
        poses: of each garment (n, 3) x, y in pixels of the image, score.
        stds: of each garment (n,) how far its landmarks may be off in each direction, pixels.
        boxes: (N, 4) x1, y1, x2, y2, pixels.
        category_ids: (N,) 1..13.
        detected: whether a detector gave the boxes; labelled ones are exact.

    Returns:
        For each garment the landmarks (n, 3), whose third column is that of ``poses``, and deviations
        (n,) in pixels, empty without a prior. They are ``UNDERSTATED`` times those of ``posterior``, so
        that 95 % of the wardrobe's refined coordinates lie within 1.96 (docs/results/shape_prior.md).
    """
    corrected, deviations = list(poses), [np.zeros(0, np.float32)] * len(poses)
    for c in sorted(priors.keys() & set(category_ids.tolist())):
        rows = np.flatnonzero(category_ids == c)
        seen = np.stack([poses[int(row)] for row in rows]).astype(np.float64)
        scale = np.stack([stds[int(row)] for row in rows]).astype(np.float64)
        found = posterior(priors[c], seen[..., :2], scale, boxes[rows], detected=detected)
        seen[..., :2] = found.landmarks
        for row, pose, spread in zip(rows, seen.astype(np.float32), found.deviations, strict=True):
            corrected[row], deviations[row] = pose, np.float32(UNDERSTATED) * spread
    return corrected, deviations


def box_frames(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles and sides (N, 1, 2) of boxes (N, 4), pixels; a side counts as at least one pixel.

    A point p is at ``(p - middle) / side`` of its box's frame.
    """
    low, high = np.asarray(boxes, np.float64).reshape(-1, 1, 2, 2).transpose(2, 0, 1, 3)
    return (low + high) / 2, np.maximum(high - low, 1.0)


def peak_stds(peaks: np.ndarray, sigma: float) -> np.ndarray:
    """Deviations in each direction, cells, of landmarks whose heatmaps have peaks of these heights.

    A map that is trained towards Gaussians of ``sigma`` (cells) and peak 1, and is unsure by s, is a
    Gaussian of variance sigma^2 + s^2, whose peak is sigma^2 / (sigma^2 + s^2).
    """
    heights = np.clip(peaks, *_PEAKS)
    return np.sqrt(SHARE * sigma**2 * (1 / heights - 1) + LEAST_STD**2)


def distance_stds(stds: np.ndarray, cell: float) -> np.ndarray:
    """Deviations in each direction, crop pixels, of landmarks whose networks predict deviations.

    Args:
        stds: of the distance to the true landmark, crop pixels.
        cell: of a heatmap, crop pixels; no landmark counts as surer than of a heatmap.
    """
    return np.sqrt(np.square(stds) / 2 + (cell * LEAST_STD) ** 2)


def posterior(
    prior: ShapePrior, landmarks: np.ndarray, stds: np.ndarray, boxes: np.ndarray, *, detected: bool
) -> Posterior:
    """The landmarks of N garments of one category, given what a network says of them.

    Args:
        prior: of the category.
        landmarks: (N, n, 2) of the network, pixels of the image.
        stds: (N, n) how far they may be off in each direction, pixels.
        boxes: (N, 4) x1, y1, x2, y2, pixels.
        detected: whether a detector gave the boxes; labelled ones are exact.
    """
    middle, side = box_frames(boxes)
    seen = torch.from_numpy((landmarks - middle) / side).flatten(1)
    variance = torch.from_numpy((stds[..., None] / side) ** 2).flatten(1)
    mean, noise = (torch.from_numpy(v).double().flatten() for v in (prior.mean, prior.noise))
    basis = torch.from_numpy(prior.basis).double().flatten(0, 1)
    if detected:
        basis = torch.cat([basis, _box_error(mean)], 1)
    x, spread = _student_t(mean, basis, noise, seen, variance)
    shape = (*landmarks.shape[:2], 2)
    points = x.numpy().reshape(shape) * side + middle
    deviations = np.sqrt((spread.numpy().reshape(shape) * side**2).mean(-1))
    return Posterior(points.astype(np.float32), deviations.astype(np.float32))


def _box_error(mean: Float[Tensor, " d"]) -> Float[Tensor, "d 4"]:
    """How positions in the frame change with the box's error: shift and scale along x and y."""
    place = mean.view(-1, 2)
    along = torch.eye(2, dtype=mean.dtype)
    shift = BOX_SHIFT * along.expand(len(place), 2, 2)
    scale = BOX_SCALE * place[:, :, None] * along
    return torch.cat([shift, scale], 2).flatten(0, 1)


def _student_t(
    mean: Float[Tensor, " d"],
    basis: Float[Tensor, "d q"],
    noise: Float[Tensor, " d"],
    seen: Float[Tensor, "b d"],
    variance: Float[Tensor, "b d"],
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
    """Mean and variance of each number of the shape, given observations with errors of Student's t.

    The E step takes the expectation of each landmark's squared distance, so that one which the others
    say little about keeps its weight.
    """
    q = basis.shape[1]
    squares = (basis[:, :, None] * basis[:, None]).flatten(1)  # (d, q q): a sum over d is one product
    weight = torch.ones_like(seen)
    x, spread = seen, variance
    for _ in range(_STEPS):
        total = noise + variance / weight
        precision = (1 / total) @ squares
        covariance = torch.linalg.inv(precision.view(-1, q, q) + torch.eye(q, dtype=seen.dtype))
        z = covariance @ (((seen - mean) / total) @ basis)[..., None]
        expected = mean + z[..., 0] @ basis.T
        gain = noise / total
        x = expected + gain * (seen - expected)
        spread = (1 - gain) ** 2 * (covariance.flatten(1) @ squares.T) + gain * variance / weight
        distance = (((seen - x) ** 2 + spread) / variance).view(len(seen), -1, 2).sum(-1)
        weight = ((FREEDOM + 2) / (FREEDOM + distance)).repeat_interleave(2, 1)
    return x, spread


def save_priors(folder: Path, priors: Mapping[int, ShapePrior]) -> None:
    """Write the priors of some categories, by category id, into a model's folder."""
    arrays = {
        f"{category(c).name}.{part}": getattr(prior, part)
        for c, prior in sorted(priors.items())
        for part in _PARTS
    }
    save_file(arrays, folder / FILE)


def load_priors(folder: Path) -> dict[int, ShapePrior]:
    """Read what ``save_priors`` wrote; a category without training garments has no prior.

    Raises:
        FileNotFoundError: there is no such file in the model's folder.
        ValueError: it cannot be read, or an array is missing or of another shape.
    """
    arrays = read_arrays(folder / FILE)
    priors = {}
    for c in CATEGORIES:
        parts = {part: arrays[name] for part in _PARTS if (name := f"{c.name}.{part}") in arrays}
        if not parts:
            continue
        n = c.num_landmarks
        shapes = {part: array.shape[:2] for part, array in parts.items()}
        if shapes != dict.fromkeys(_PARTS, (n, 2)) or not all(map(_valid, parts.values())):
            raise ValueError(
                f"{folder / FILE}: holds no shape prior of {c.name} with its {n} landmarks; "
                f"{mend(folder / FILE)}"
            )
        priors[c.id] = ShapePrior(**parts)
    return priors


def _valid(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and bool(np.isfinite(array).all())
