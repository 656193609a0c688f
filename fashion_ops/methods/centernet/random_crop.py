"""CenterNet's random crop, in pixels of the original image.

A square whose side is 0.6 to 1.3 of the image's longer side, in steps of 0.1, around a centre that
keeps away from the border. Drawn before the image is decoded, so that a large JPEG that is going to
shrink is decoded at a half, a quarter or an eighth of its size. It depends on (seed, epoch, image)
only: not on batches, workers or devices.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.methods.parts.crops import crop_matrices

SCALES = np.arange(6, 14) / 10
BORDER = 128  # the centre's distance from the image's border, pixels


@dataclass(frozen=True)
class RandomCrop:
    """Asks ``Images`` for random crops. ``sizes_N2``: width and height of each image, pixels."""

    sizes_N2: np.ndarray
    seed: int

    def draw(self, index: int, epoch: int, size: int) -> tuple[np.ndarray, int]:
        """One image's crop.

        Args:
            index: the image's place in the data set.
            epoch: counts from 0.
            size: side of the square input, pixels.

        Returns:
            The affine matrix (2, 3) from the original image to the input, and by how much (1, 2, 4,
            8) the decoded image may be smaller without being enlarged again by the crop.
        """
        rng = np.random.default_rng((self.seed, epoch, index))
        sides = self.sizes_N2[index]
        side = sides.max() * rng.choice(SCALES)
        margin = [border(int(n)) for n in sides]
        center = rng.integers(margin, sides - margin)  # in units of pixel corners
        box = np.concatenate([center - side / 2, center + side / 2]) - 0.5
        shrink = 1
        while shrink < 8 and 2 * shrink * size <= side:
            shrink *= 2
        return crop_matrices(box, (size, size), padding=1.0)[0], shrink


def border(length: int) -> int:
    """How far the centre stays away from the border of a side of ``length`` pixels.

    128, halved until the two borders leave something between them.
    """
    parts = 1
    while length - BORDER // parts <= BORDER // parts:
        parts *= 2
    return BORDER // parts


def shrunk(matrix_23: np.ndarray, shape: tuple[int, ...], original: np.ndarray) -> np.ndarray:
    """The matrix for an image of ``shape`` (height, width, ...) in place of the original's size."""
    ratio = original / (shape[1], shape[0])  # original = (x + 0.5) * ratio - 0.5
    linear = matrix_23[:, :2]
    return np.column_stack([linear * ratio, matrix_23[:, 2] + linear @ (0.5 * ratio - 0.5)])
