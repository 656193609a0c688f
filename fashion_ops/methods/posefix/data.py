"""What a refiner trains on: garments with their true pose, the landmarker's pose and a neighbour's.

Everything that must follow a garment through cropping and augmentation travels as points in one array
(N, 3n + 2, 3): true landmarks, the landmarker's own outputs, landmarks of the overlapping garment, and
two corners of the box (their distance tells the augmentation's zoom).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fashion_ops.catalog.training_data import TrainingGarments

MIN_IOU = 0.1  # of two boxes whose landmarks may be confused


def stack_points(own: np.ndarray, garments: TrainingGarments, truth: np.ndarray) -> TrainingGarments:
    """``garments`` with the array described above in place of its landmarks.

    Args:
        own: the landmarker's landmarks (N, n, 3), image pixels; the score is not used.
        garments: of one category.
        truth: labelled landmarks (N, n, 3), image pixels and visibility.
    """
    known = np.concatenate([own[..., :2], np.ones_like(own[..., :1])], 2)
    corners = garments.boxes.reshape(-1, 2, 2)
    corners = np.concatenate([corners, np.ones_like(corners[..., :1])], 2)
    points = np.concatenate([truth, known, neighbours(garments, truth), corners], 1)
    return replace(garments, landmarks=points.astype(np.float32))


def neighbours(garments: TrainingGarments, landmarks: np.ndarray) -> np.ndarray:
    """For each garment the landmarks (N, n, 3) of the one in its image that overlaps it most.

    Zeros where no other garment reaches a box IoU of ``MIN_IOU``. All garments are of one category.
    """
    out = np.zeros_like(landmarks)
    order = np.argsort(garments.image_id, kind="stable")
    starts = np.flatnonzero(np.diff(garments.image_id[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        if len(members) < 2:
            continue
        overlap = box_iou(garments.boxes[members])
        np.fill_diagonal(overlap, 0)
        best = overlap.argmax(1)
        close = overlap.max(1) >= MIN_IOU
        out[members[close]] = landmarks[members[best[close]]]
    return out


def box_iou(boxes: np.ndarray) -> np.ndarray:
    """IoU (N, N) of every two of the boxes (N, 4)."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return inner / np.maximum(area[:, None] + area[None] - inner, 1e-9)


@dataclass(frozen=True)
class Points:
    """The stacked points of a batch, taken apart; see the module's docstring."""

    truth: Tensor
    own: Tensor
    neighbour: Tensor
    corners: Tensor

    @classmethod
    def of(cls, stacked: Tensor, n: int) -> "Points":
        """From (B, 3n + 2, 3)."""
        return cls(
            stacked[:, :n], stacked[:, n : 2 * n], stacked[:, 2 * n : 3 * n], stacked[:, 3 * n :]
        )


def stacked_mirror(mirror: np.ndarray) -> Tensor:
    """The flip permutation (3n + 2,) of stacked points, from that of n landmarks."""
    n = len(mirror)
    parts = [mirror, mirror + n, mirror + 2 * n, np.arange(3 * n, 3 * n + 2)]
    return torch.from_numpy(np.concatenate(parts))


Predict = Callable[[Callable[[int], np.ndarray], np.ndarray, np.ndarray, np.ndarray], list[np.ndarray]]


def own_outputs(
    predict: Predict,
    read_image: Callable[[int], np.ndarray],
    garments: TrainingGarments,
    chunk: int = 1024,
) -> np.ndarray:
    """The landmarker's landmarks (N, n, 3) of one category's garments, image pixels.

    Works in chunks, so that memory stays bounded whatever the number of garments.
    """
    parts = [
        predict(read_image, part.image_id, part.boxes, part.category_id)
        for part in (
            garments.take(np.arange(i, min(i + chunk, len(garments))))
            for i in range(0, len(garments), chunk)
        )
    ]
    return np.stack([landmarks for part in parts for landmarks in part])
