"""Crops: from a box in an image to a network input of fixed size and back.

The centre of the top-left pixel is (0, 0), so that resizing by s maps x to (x + 0.5) * s - 0.5. Affine
matrices are (2, 3) and map image pixels to crop pixels.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor


def crop_matrices(boxes: np.ndarray, size: tuple[int, int], padding: float) -> np.ndarray:
    """Compute the affine matrices (N, 2, 3) from image to crop pixels for N boxes.

    Each box is enlarged around its centre to the aspect ratio of the crop and then by ``padding`` (1.25
    in "Simple Baselines" and its successors).

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in image pixels; a side counts as at least one pixel.
        size: crop (width, height) in pixels.
        padding: factor on the box, >= 1.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    width, height = size
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    scale = 1 / (np.maximum(extent[:, 0] / width, extent[:, 1] / height) * padding)
    matrices = np.zeros((len(boxes), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrices[:, :, 2] = middle - scale[:, None] * center
    return matrices


def apply_matrices(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (N, K, 2) by affine matrices (N, 2, 3)."""
    linear, shift = matrices[:, :, :2], matrices[:, :, 2]
    return np.einsum("nij,nkj->nki", linear, points) + shift[:, None]


def invert_matrices(matrices: np.ndarray) -> np.ndarray:
    """Invert affine matrices (N, 2, 3)."""
    linear = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], axis=2)


def cut(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut a crop (height, width, 3) uint8 out of an image; what lies outside the image is black.

    Averages over source pixels when the crop is much smaller than the box, so that fine prints do
    not alias.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3) from image to crop pixels.
        size: crop (width, height) in pixels.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.5:
        sides = np.array([image.shape[1], image.shape[0]])
        ratio = np.maximum(2 * scale, 1 / sides)  # a long, thin image keeps a pixel across
        image = cv2.resize(image, None, fx=ratio[0], fy=ratio[1], interpolation=cv2.INTER_AREA)
        linear = matrix[:, :2] / ratio
        half_pixel = 0.5 - 0.5 * ratio  # small = (x + 0.5) * ratio - 0.5
        matrix = np.column_stack([linear, matrix[:, 2] + linear @ half_pixel])
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)


def cut_crops(
    read_image: Callable[[int], np.ndarray],
    image_ids: np.ndarray,
    matrices: np.ndarray,
    size: tuple[int, int],
) -> Tensor:
    """Cut crops uint8 (N, 3, h, w), RGB; consecutive garments of one image read it once.

    Args:
        read_image: image id to RGB uint8 (H, W, 3).
        image_ids: (N,) image of each crop.
        matrices: (N, 2, 3) from image to crop pixels.
        size: crop (width, height) in pixels.
    """
    crops = torch.empty(len(image_ids), 3, size[1], size[0], dtype=torch.uint8)
    previous, image = None, np.empty(0)
    for i, image_id in enumerate(image_ids):
        if image_id != previous:
            previous, image = image_id, read_image(int(image_id))
        crops[i] = torch.from_numpy(cut(image, matrices[i], size).transpose(2, 0, 1).copy())
    return crops


def to_image(landmarks: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Move landmarks (..., K, 3) from crop to image pixels; their scores stay.

    ``inverse`` are the matrices (..., 2, 3) from crop to image pixels.
    """
    points = landmarks[..., :2] @ np.swapaxes(inverse[..., :2], -1, -2) + inverse[..., None, :, 2]
    return np.concatenate([points, landmarks[..., 2:]], -1).astype(np.float32)
