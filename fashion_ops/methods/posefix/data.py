"""Training data of a refiner: the true pose, the landmarker's prediction and a neighbour's true pose.

All points that must follow a garment through cropping and augmentation are stacked in one array
(N, 3n + 2, 3) in place of its landmarks: true landmarks, predicted landmarks, landmarks of the
overlapping garment, and two corners of the box (their distance gives the zoom of the augmentation).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import box_iou

from fashion_ops.catalog.training_data import TrainingGarments

MIN_IOU = 0.1  # of two boxes whose landmarks may be confused

ReadImage = Callable[[int], np.ndarray]
Predict = Callable[[ReadImage, np.ndarray, np.ndarray, np.ndarray], list[np.ndarray]]


def stack_poses(
    predicted: np.ndarray, garments: TrainingGarments, truth: np.ndarray
) -> TrainingGarments:
    """Return ``garments`` with the array that the module describes in place of its landmarks.

    Args:
        predicted: a model's landmarks (N, n, 3), image pixels, NaN where it found no garment; the
            score is not used.
        garments: of one category.
        truth: labelled landmarks (N, n, 3), image pixels and visibility.
    """
    known = np.concatenate([predicted[..., :2], np.ones_like(predicted[..., :1])], 2)
    known[~np.isfinite(predicted[..., :2]).all((1, 2))] = 0
    corners = garments.boxes.reshape(-1, 2, 2)
    corners = np.concatenate([corners, np.ones_like(corners[..., :1])], 2)
    points = np.concatenate([truth, known, neighbours(garments, truth), corners], 1)
    return replace(garments, landmarks=points.astype(np.float32))


def neighbours(garments: TrainingGarments, landmarks: np.ndarray) -> np.ndarray:
    """Find for each garment the landmarks (N, n, 3) of the one in its image that overlaps it most.

    They are zeros where no other garment reaches a box IoU of ``MIN_IOU``.

    Args:
        garments: N garments of one category.
        landmarks: of the garments (N, n, 3).
    """
    out = np.zeros_like(landmarks)
    order = np.argsort(garments.image_id, kind="stable")
    starts = np.flatnonzero(np.diff(garments.image_id[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        if len(members) < 2:
            continue
        boxes = torch.from_numpy(garments.boxes[members])
        overlap = box_iou(boxes, boxes).fill_diagonal_(0).nan_to_num(0).numpy()  # nan: two empty boxes
        best = overlap.argmax(1)
        close = overlap.max(1) >= MIN_IOU
        out[members[close]] = landmarks[members[best[close]]]
    return out


@dataclass(frozen=True)
class RefinerData:
    """What a refiner is trained on.

    Attributes:
        garments: of one category, landmarks in the landmarker's grouping.
        read_image: image id to RGB uint8 (H, W, 3).
        predicted: (N, n, 3) poses to refine, image pixels and score, NaN for garments that the model
            did not find; None takes those that the landmarker predicts.
        takes_pose: False for a control of an experiment, see ``RefinerSettings``.
    """

    garments: TrainingGarments
    read_image: ReadImage
    predicted: np.ndarray | None = None
    takes_pose: bool = True


@dataclass(frozen=True)
class StackedPoses:
    """The parts of a batch of stacked points (B, 3n + 2, 3); see the module's docstring."""

    truth: Float[Tensor, "b n 3"]
    predicted: Float[Tensor, "b n 3"]
    neighbour: Float[Tensor, "b n 3"]
    corners: Float[Tensor, "b 2 3"]

    @classmethod
    def split(cls, stacked: Float[Tensor, "b m 3"], n: int) -> "StackedPoses":
        """Split stacked points of a category with n landmarks; m is 3n + 2."""
        return cls(*stacked.split((n, n, n, 2), 1))


def stacked_mirror(mirror: np.ndarray) -> Int[Tensor, " m"]:
    """Extend the permutation (n,) of landmarks under a flip to stacked points (3n + 2,)."""
    n = len(mirror)
    parts = [mirror, mirror + n, mirror + 2 * n, np.arange(3 * n, 3 * n + 2)]
    return torch.from_numpy(np.concatenate(parts))


def predict_garments(
    predict: Predict, read_image: ReadImage, garments: TrainingGarments, chunk: int = 1024
) -> np.ndarray:
    """Predict landmarks (N, n, 3) x, y in image pixels and score, of N garments of one category.

    Args:
        predict: such as ``LandmarkPredictor.predict``.
        read_image: image id to RGB uint8 (H, W, 3).
        garments: at least one.
        chunk: number of garments predicted at a time, which bounds the memory.
    """
    poses: list[np.ndarray] = []
    for start in range(0, len(garments), chunk):
        part = garments.take(np.arange(start, min(start + chunk, len(garments))))
        poses += predict(read_image, part.image_id, part.boxes, part.category_id)
    return np.stack(poses)
