"""From pixels to centimetres on the plane on which a garment lies.

A reference has points of known place on the plane. They give the homography from pixels (Hartley and
Zisserman, Multiple View Geometry, 2nd edition, chapter 4) and, with the camera's matrix, the place of
the camera, which corrects for points that lie higher than the reference. Without a calibration the
camera is taken for one with the principal point in the middle and a lens of 28 mm (on 36 mm): the
correction is millimetres at most, and the lens changes it by some tenths of them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

_USUAL_LENS = 28 / 36  # focal length over the longer side of the image
CORNER_STD = 0.3  # pixels, of a corner that OpenCV refined


@dataclass(frozen=True)
class Reference:
    """Points ``pixels`` (k, 2) of a photo whose places ``mm`` (k, 2) on their plane are known."""

    name: str
    pixels: Float[np.ndarray, "k 2"]
    mm: Float[np.ndarray, "k 2"]


@dataclass(frozen=True)
class Lens:
    """A calibration as ``cv2.calibrateCamera`` returns it: matrix in pixels, distortion (d,)."""

    matrix: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, " d"]

    @classmethod
    def usual(cls, width: int, height: int) -> "Lens":
        """The lens of a photo without a calibration."""
        focal = _USUAL_LENS * max(width, height)
        matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], float)
        return cls(matrix, np.zeros(5))

    @classmethod
    def read(cls, path: Path) -> "Lens":
        """Read a JSON file with ``matrix`` (3 rows of 3 numbers) and ``distortion`` (4 to 14 numbers).

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no such file; names it.
        """
        try:
            content = json.loads(path.read_bytes())
            matrix = np.array(content["matrix"], float)
            distortion = np.array(content["distortion"], float).ravel()
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: not a calibration: it needs matrix (3 x 3) and distortion, as "
                "cv2.calibrateCamera returns them"
            ) from error
        valid = matrix.shape == (3, 3) and distortion.size in (4, 5, 8, 12, 14)
        if not valid or not np.isfinite(matrix).all() or not np.isfinite(distortion).all():
            raise ValueError(
                f"{path}: matrix {matrix.shape}, distortion of {distortion.size} numbers: expected "
                "finite ones, 3 x 3 and 4, 5, 8, 12 or 14"
            )
        return cls(matrix, distortion)

    def straighten(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Pixels as a lens with this matrix and no distortion would show them."""
        if not self.distortion.any() or len(pixels) == 0:
            return pixels
        points = cv2.undistortPoints(
            pixels[:, None].astype(float), self.matrix, self.distortion, P=self.matrix
        )
        return np.asarray(points, float).reshape(-1, 2)


@dataclass(frozen=True)
class Plane:
    """Pixels to mm on the plane: ``homography``, and the ``camera``'s place above it, mm."""

    homography: Float[np.ndarray, "3 3"]
    camera: Float[np.ndarray, " 3"]

    @classmethod
    def fit(cls, reference: Reference, lens: Lens) -> "Plane":
        """Fit the plane of a reference.

        Raises:
            ValueError: its points give none: fewer than four, or on a line.
        """
        pixels = lens.straighten(reference.pixels)
        found = cv2.findHomography(pixels, reference.mm)[0] if len(pixels) >= 4 else None
        if found is None or not np.isfinite(found).all() or abs(np.linalg.det(found)) < 1e-12:
            raise ValueError(f"{reference.name}: its corners give no plane; take another photo")
        columns = np.linalg.inv(lens.matrix) @ np.linalg.inv(found)
        columns /= np.sqrt(np.linalg.norm(columns[:, 0]) * np.linalg.norm(columns[:, 1]))
        columns *= np.sign(columns[2, 2])  # the plane is in front of the camera
        left, _, right = np.linalg.svd(
            np.column_stack([columns[:, :2], np.cross(columns[:, 0], columns[:, 1])])
        )
        camera = -(left @ right).T @ columns[:, 2]
        camera[2] = abs(camera[2])
        return cls(np.asarray(found, float), camera)

    def to_mm(self, pixels: Float[np.ndarray, "n 2"], height: float) -> Float[np.ndarray, "n 2"]:
        """Places on the plane, mm, of straightened pixels that show points ``height`` mm above it."""
        places = cv2.perspectiveTransform(pixels[:, None].astype(float), self.homography)[:, 0]
        return places + (self.camera[:2] - places) * (height / self.camera[2])
