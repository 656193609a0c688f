"""CenterNet's random crop, in pixels of the original image.

The crop is a square whose side is 0.6 to 1.3 of the image's longer side, in steps of 0.1, around a
centre that keeps away from the border. It is drawn before the image is decoded, so that a large JPEG
can be decoded at a half, a quarter or an eighth of its size. It depends on (seed, epoch, image) only,
not on batches, workers or devices.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.methods.parts.crops import crop_matrices

SCALES = np.arange(6, 14) / 10
BORDER = 128  # smallest distance of the centre from the image's border, pixels


@dataclass(frozen=True)
class RandomCrop:
    """Draws the random crops of a data set.

    Attributes:
        sizes: (N, 2) width and height of each image, pixels.
        seed: of the run.
    """

    sizes: np.ndarray
    seed: int

    def draw(self, index: int, epoch: int, size: int) -> tuple[np.ndarray, int]:
        """Draw the crop of one image.

        Args:
            index: of the image in the data set.
            epoch: counts from 0.
            size: side of the square input, pixels.

        Returns:
            The affine matrix (2, 3) from the original image to the input, and the factor (1, 2, 4 or
            8) by which the decoded image may be smaller without being enlarged again by the crop.
        """
        rng = np.random.default_rng((self.seed, epoch, index))
        sides = self.sizes[index]
        side = sides.max() * rng.choice(SCALES)
        margin = [border(int(n)) for n in sides]
        center = rng.integers(margin, sides - margin)  # in units of pixel corners
        box = np.concatenate([center - side / 2, center + side / 2]) - 0.5
        shrink = 1
        while shrink < 8 and 2 * shrink * size <= side:
            shrink *= 2
        return crop_matrices(box, (size, size), padding=1.0)[0], shrink


def border(length: int) -> int:
    """Compute the distance that the centre keeps from both ends of a side of ``length`` pixels.

    It is 128 pixels, halved until the two distances leave something between them.
    """
    parts = 1
    while length - BORDER // parts <= BORDER // parts:
        parts *= 2
    return BORDER // parts


def rescale_matrix(matrix: np.ndarray, shape: tuple[int, ...], original: np.ndarray) -> np.ndarray:
    """Adapt an affine matrix (2, 3) of an image to a resized version of that image.

    Args:
        matrix: from the original image.
        shape: (height, width, ...) of the resized image.
        original: (2,) width and height of the original.
    """
    ratio = original / (shape[1], shape[0])  # original = (x + 0.5) * ratio - 0.5
    linear = matrix[:, :2]
    return np.column_stack([linear * ratio, matrix[:, 2] + linear @ (0.5 * ratio - 0.5)])
