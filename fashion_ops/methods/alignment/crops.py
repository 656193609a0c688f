"""Garments as square crops with normalised positions, the same for every method of alignment.

A position is -0.5 to 0.5 across the crop, in one of two frames: ``letterbox`` (the authors' release of
DFA: one scale, black beside the box) or ``box`` (the paper's eq. 5: each axis over the box's own side).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from fashion_ops.methods.parts.frames import Frame, box_frame, cut, letterbox

FrameName = Literal["letterbox", "box"]
CACHE_BYTES = 4 << 30


def frame_of(name: FrameName, boxes: np.ndarray) -> Frame:
    """Pixels of the image to normalised positions, for boxes (N, 4)."""
    return box_frame(boxes) if name == "box" else letterbox(boxes, 1.0, centered=True)


class Crops:
    """The crops (3, S, S) uint8 of N boxes, kept in memory where they fit.

    Args:
        image_id: (N,).
        boxes: (N, 4), pixels of the image.
        read_image: image id to RGB uint8 (H, W, 3).
        size: S.
        frame: of the positions that go with them.
    """

    def __init__(
        self,
        image_id: np.ndarray,
        boxes: np.ndarray,
        read_image: Callable[[int], np.ndarray],
        size: int,
        frame: FrameName,
    ) -> None:
        self.image_id, self.boxes, self.read_image = image_id, boxes, read_image
        self.size = size
        self.frame: FrameName = frame
        self._cache: Tensor | None = None
        if len(image_id) * 3 * size * size <= CACHE_BYTES:
            cached = torch.empty(len(image_id), 3, size, size, dtype=torch.uint8)
            for i in range(len(image_id)):
                cached[i] = self._cut(i)
            self._cache = cached

    def __len__(self) -> int:
        return len(self.image_id)

    def take(self, rows: np.ndarray) -> UInt8[Tensor, "b 3 s s"]:
        """The crops at these positions."""
        if self._cache is not None:
            return self._cache[torch.from_numpy(np.asarray(rows))]
        return torch.stack([self._cut(int(i)) for i in rows])

    def _cut(self, i: int) -> Tensor:
        image = self.read_image(int(self.image_id[i]))
        crop = cut(image, self.boxes[i], self.size, stretch=self.frame == "box")
        return torch.from_numpy(crop.transpose(2, 0, 1).copy())


@dataclass(frozen=True)
class Shapes:
    """Landmarks of N garments, normalised.

    ``positions``: (N, n, 2), anything where not observed; ``visibility``: (N, n), COCO's 0 cut off or
    absent, 1 occluded, 2 visible; ``slots``: bool (N, n), whether the garment's type has the landmark.
    """

    positions: np.ndarray
    visibility: np.ndarray
    slots: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def observed(self) -> np.ndarray:
        """Bool (N, n): visible or occluded."""
        return self.visibility > 0

    def take(self, rows: np.ndarray) -> "Shapes":
        """The garments at these positions (or under this mask)."""
        return Shapes(self.positions[rows], self.visibility[rows], self.slots[rows])


class AlignmentSamples(Dataset[dict[str, Tensor]]):
    """Training samples: ``crop``, ``landmarks`` (m, 3) in crop pixels, ``slots`` (n,).

    Behind the n true landmarks come the n positions of the stage before, where there is one: whatever
    moves a crop moves both.

    Args:
        crops: of all garments.
        shapes: of all garments.
        previous: (N, n, 2), normalised, or None.
        rows: which garments to train on; None is all.
    """

    def __init__(
        self,
        crops: Crops,
        shapes: Shapes,
        previous: np.ndarray | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self.crops = crops
        self.rows = np.arange(len(crops)) if rows is None else rows
        points = np.where(shapes.observed[..., None], shapes.positions, 0.0)
        landmarks = np.concatenate([to_pixels(points, crops.size), shapes.visibility[..., None]], 2)
        if previous is not None:
            pixels = to_pixels(previous, crops.size)
            behind = np.concatenate([pixels, np.ones((*pixels.shape[:2], 1))], 2)
            landmarks = np.concatenate([landmarks, behind], 1)
        self.landmarks = torch.from_numpy(landmarks.astype(np.float32))
        self.slots = torch.from_numpy(np.ascontiguousarray(shapes.slots))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """A whole batch at once, already stacked."""
        rows = self.rows[np.asarray(indices)]
        which = torch.from_numpy(rows)
        return {
            "crop": self.crops.take(rows),
            "landmarks": self.landmarks[which],
            "slots": self.slots[which],
        }


def to_pixels(positions, size: int):  # noqa: ANN001, ANN201 (arrays or tensors)
    """Normalised positions to pixels of a crop, whose first pixel's centre is 0."""
    return (positions + 0.5) * size - 0.5


def from_pixels(pixels, size: int):  # noqa: ANN001, ANN201 (arrays or tensors)
    """Inverse of ``to_pixels``."""
    return (pixels + 0.5) / size - 0.5
