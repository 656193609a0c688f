"""The plane on which a garment lies, as a camera sees it, from the points of a reference.

Seven numbers describe what the camera sees: the pose of the reference (rotation, translation) and the
focal length. The points of the reference fit them by least squares, together with what one knows
without them: that photos are taken roughly from above, and the usual focal length. For a sheet this is
as exact as a homography; for a card, which is small beside a garment, three times more exact
(docs/results/sizes.md). A plane seen at a small angle has two poses that look alike (Collins and
Bartoli, Infinitesimal plane-based pose estimation, IJCV 2014); both are fitted, and the better one
is taken.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from fashion_ops.measurement.scale import Lens, Reference

_TILT_STD = float(np.sin(np.radians(12)))  # of the view from the vertical, along each axis


@dataclass(frozen=True)
class Plane:
    """Pixels to mm on the plane: ``homography``, and the ``camera``'s place above it, mm.

    With leading dimensions it is as many planes at once.
    """

    homography: Float[np.ndarray, "*d 3 3"]
    camera: Float[np.ndarray, "*d 3"]

    def to_mm(
        self,
        pixels: Float[np.ndarray, "*d n 2"],
        height: float | Float[np.ndarray, "*d"],
    ) -> Float[np.ndarray, "*d n 2"]:
        """Places on the plane, mm, of straightened pixels that show points ``height`` mm above it."""
        solid = np.concatenate([pixels, np.ones((*pixels.shape[:-1], 1))], -1)
        solid = solid @ np.swapaxes(self.homography, -1, -2)
        places = solid[..., :2] / solid[..., 2:]
        share = np.asarray(height / self.camera[..., 2])[..., None, None]
        return places + (self.camera[..., None, :2] - places) * share


def fit_plane(reference: Reference, lens: Lens, draws: Float[np.ndarray, "d 7"]) -> tuple[Plane, Plane]:
    """Fit the plane of a reference.

    Args:
        reference: seen by the camera.
        lens: of the camera.
        draws: standard normal numbers.

    Returns:
        The best plane, and d planes as far from it as the deviations of corners and lens allow.

    Raises:
        ValueError: the points give no plane: fewer than four, or on a line.
    """
    middle = reference.mm.mean(0)
    places, pixels = reference.mm - middle, lens.straighten(reference.pixels)
    if len(pixels) < 4 or np.linalg.matrix_rank(pixels - pixels.mean(0), 1e-3) < 2:
        raise _no_plane(reference)

    def residuals(values: np.ndarray) -> np.ndarray:
        pose = _Pose.of(values, lens)
        seen = places @ np.swapaxes(pose.to_pixels[..., :2], -1, -2) + pose.to_pixels[..., None, :, 2]
        off = (seen[..., :2] / seen[..., 2:] - pixels) / reference.corner_std
        tilt, focal = pose.turn[..., :2, 2] / _TILT_STD, values[..., 6:] / lens.focal_std
        return np.concatenate([off.reshape(*values.shape[:-1], -1), tilt, focal], -1)

    def slopes(values: np.ndarray) -> np.ndarray:
        steps = np.diag(np.r_[np.full(3, 1e-6), 1e-3, 1e-3, 1e-6, 1e-6])
        ahead, behind = residuals(values + steps), residuals(values - steps)
        return ((ahead - behind) / (2 * steps.diagonal()[:, None])).T

    try:
        solid = np.column_stack([places, np.zeros(len(places))])
        found = cv2.solvePnPGeneric(solid, pixels, lens.matrix, None, flags=cv2.SOLVEPNP_IPPE)
        starts = [_start(r.ravel(), t.ravel(), lens) for r, t in zip(*found[1:3], strict=True)]
        jac: Any = slopes  # scipy-stubs asks for a signature of its own
        fits = [least_squares(residuals, start, jac, method="lm") for start in starts]
        best = min(fits, key=lambda fit: fit.cost)
        spread = np.linalg.cholesky(np.linalg.inv(best.jac.T @ best.jac))
    except (cv2.error, ValueError, np.linalg.LinAlgError) as error:
        raise _no_plane(reference) from error
    drawn = _Pose.of(best.x + draws @ spread.T, lens)
    return _Pose.of(best.x, lens).plane(middle), drawn.plane(middle)


def _start(turn: np.ndarray, shift: np.ndarray, lens: Lens) -> np.ndarray:
    """The seven numbers of a rotation vector and a translation."""
    focal = lens.matrix[0, 0]
    return np.r_[turn, shift[:2] * (focal / shift[2]), np.log(focal / shift[2]), 0.0]


@dataclass(frozen=True)
class _Pose:
    """What the camera sees: rotation, translation, and the matrix from places (x, y, 1) to pixels.

    It comes from seven numbers: rotation vector, the origin's pixel, the logarithms of its pixels a mm
    and of the focal length over that of ``lens``. In these, unlike in a translation, what a change of
    the focal length does to the others is nearly linear.
    """

    turn: Float[np.ndarray, "*d 3 3"]
    shift: Float[np.ndarray, "*d 3"]
    to_pixels: Float[np.ndarray, "*d 3 3"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "*d 7"], lens: Lens) -> "_Pose":
        turn = Rotation.from_rotvec(values[..., :3]).as_matrix()
        matrix = np.broadcast_to(lens.matrix, turn.shape).copy()
        matrix[..., [0, 1], [0, 1]] *= np.exp(values[..., 6:])
        depth = matrix[..., 0, :1] * np.exp(-values[..., 5:6])
        shift = np.concatenate([values[..., 3:5] * depth / matrix[..., 0, :1], depth], -1)
        to_pixels = matrix @ np.concatenate([turn[..., :2], shift[..., None]], -1)
        return cls(turn, shift, to_pixels)

    def plane(self, middle: Float[np.ndarray, "2"]) -> Plane:
        """The planes of these poses, whose origin is at ``middle``, mm."""
        homography = np.linalg.inv(self.to_pixels)
        homography[..., :2, :] += middle[:, None] * homography[..., 2:, :]
        camera = -(np.swapaxes(self.turn, -1, -2) @ self.shift[..., None])[..., 0]
        camera[..., :2] += middle
        camera[..., 2] = np.abs(camera[..., 2])
        return Plane(homography, camera)


def _no_plane(reference: Reference) -> ValueError:
    return ValueError(f"{reference.name}: its corners give no plane; take another photo")
