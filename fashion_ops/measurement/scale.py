"""What gives a photo its scale: a reference, whose points have known places, and the camera's lens.

Without a calibration the camera is taken for one with the principal point in the middle and a lens of
28 mm (on 36 mm), as phones have; ``plane`` lets the photo correct the focal length.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from fashion_ops.errors.reading import parse_json

_USUAL_LENS = 28 / 36  # focal length over the longer side of the image
_USUAL_STD, _CALIBRATED_STD = 0.1, 0.003  # of the focal length, a fraction
CORNER_STD = 0.3  # pixels, of a corner that OpenCV refined
BY_HAND_STD = 0.01  # of a scale that somebody measured, a fraction


@dataclass(frozen=True)
class Reference:
    """Points ``pixels`` (k, 2) of a photo whose places ``mm`` (k, 2) on their plane are known.

    Attributes:
        name: for people.
        pixels: see above.
        mm: see above.
        thickness: of what is seen, mm above the surface on which it and the garment lie; None where the
            points are as high as the landmarks.
        size_std: deviation of its true size, a fraction.
        corner_std: deviation of ``pixels`` in each direction.
        outline: (v, 2) pixels of its edge, to draw it; empty for none.
    """

    name: str
    pixels: Float[np.ndarray, "k 2"]
    mm: Float[np.ndarray, "k 2"]
    thickness: float | None = 0.1
    size_std: float = 0.001
    corner_std: float = CORNER_STD
    outline: Float[np.ndarray, "v 2"] = field(default_factory=lambda: np.zeros((0, 2)))

    @classmethod
    def by_hand(cls, pixels_per_cm: float, width: int, height: int) -> "Reference":
        """A scale that somebody measured on the garment, in a photo taken straight from above."""
        pixels = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
        name = f"{pixels_per_cm:g} pixels per cm, by hand"
        return cls(name, pixels, pixels * (10 / pixels_per_cm), None, BY_HAND_STD, 1e-3)

    def enlarged(self, to_photo: Callable[[np.ndarray], np.ndarray], factor: float) -> "Reference":
        """The reference of a reduced photo in pixels of the whole one."""
        return replace(
            self,
            pixels=to_photo(self.pixels),
            outline=to_photo(self.outline),
            corner_std=self.corner_std * factor,
        )


@dataclass(frozen=True)
class Lens:
    """A calibration as ``cv2.calibrateCamera`` returns it: matrix in pixels, distortion (d,).

    ``focal_std`` is the deviation of the focal length, a fraction.
    """

    matrix: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, " d"]
    focal_std: float = _CALIBRATED_STD

    @classmethod
    def usual(cls, width: int, height: int) -> "Lens":
        """The lens of a photo without a calibration."""
        focal = _USUAL_LENS * max(width, height)
        matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], float)
        return cls(matrix, np.zeros(5), _USUAL_STD)

    @classmethod
    def read(cls, path: Path) -> "Lens":
        """Read a JSON file with ``matrix`` (3 rows of 3 numbers) and ``distortion`` (4 to 14 numbers).

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no such file; names it.
        """
        try:
            content = parse_json(path.read_bytes(), str(path))
            matrix = np.array(content["matrix"], float)
            distortion = np.array(content["distortion"], float).ravel()
        except (ValueError, KeyError, TypeError, OverflowError) as error:
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
        if min(matrix[0, 0], matrix[1, 1]) <= 0 or matrix[2].tolist() != [0, 0, 1]:
            raise ValueError(
                f"{path}: matrix: focal lengths {matrix[0, 0]:g}, {matrix[1, 1]:g} and last row "
                f"{matrix[2].tolist()}: expected ones above 0, and 0, 0, 1"
            )
        return cls(matrix, distortion)

    def reduced(self, factor: float) -> "Lens":
        """The lens in pixels of a photo that is reduced by a factor."""
        return replace(self, matrix=np.diag([1 / factor, 1 / factor, 1]) @ self.matrix)

    def straighten(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Pixels as a lens with this matrix and no distortion would show them."""
        if not self.distortion.any() or len(pixels) == 0:
            return pixels
        points = cv2.undistortPoints(
            pixels[:, None].astype(float), self.matrix, self.distortion, P=self.matrix
        )
        return np.asarray(points, float).reshape(-1, 2)
