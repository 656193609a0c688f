"""Garments as square crops, and the normalised positions within them, for all regression methods.

A position runs from -0.5 to 0.5 across the crop, in one of two frames: ``letterbox`` (the authors'
release of DFA: one scale for both axes, black beside the box) or ``box`` (eq. 5 of the paper: each axis
divided by the box's side along it). The crop shows the box, as published, or a window ``padding`` times
as large. Training cuts a margin around the crop, so that augmentation moves in what the photo shows.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from fashion_ops.methods.parts.frames import Frame, box_frame, cut, letterbox
from fashion_ops.params import DfaStage

FrameName = Literal["letterbox", "box"]
CACHE_BYTES = 4 << 30


def frame_of(name: FrameName, boxes: np.ndarray) -> Frame:
    """Make the transform from image pixels to normalised positions for N boxes.

    Args:
        name: of the frame, see the module.
        boxes: (N, 4) x1, y1, x2, y2 in image pixels.

    Raises:
        ValueError: a box without an area.
    """
    return box_frame(boxes) if name == "box" else letterbox(boxes, 1.0, centered=True)


def crop_options(config: DfaStage) -> dict[str, Any]:
    """Return the arguments of ``Crops`` that follow from a configuration.

    The margin lets augmentation zoom out and shift by two standard deviations each.
    """
    return options_of_training(config.model_dump())


def options_of_training(training: Mapping[str, Any]) -> dict[str, Any]:
    """``crop_options`` of the settings that ``model.json`` keeps, as mapping.

    A trained network is given the crops that it was evaluated on, to the last bit.
    """
    reach = 0.5 * (math.exp(2 * training["scale"]) - 1) + 2 * training["shift"]
    return {
        "size": training["input_size"],
        "frame": training["frame"],
        "padding": training["padding"],
        "margin": math.ceil(training["input_size"] * reach),
    }


def enlarge(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge boxes (N, 4) around their centres; both sides grow by ``factor``."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([center - factor * half, center + factor * half], 1)


class Crops:
    """The crops (3, S, S) uint8 of N boxes; kept in memory if they take at most ``CACHE_BYTES``.

    Args:
        image_id: (N,), the image of each box.
        boxes: (N, 4), x1, y1, x2, y2 in image pixels.
        read_image: returns the RGB uint8 image (H, W, 3) of an image id.
        size: S.
        frame: how the window is laid into the square; positions in these crops use the same frame.
        padding: side of the window over that of the box, >= 1.
        margin: pixels around the crop that ``regions`` also returns.

    Attributes:
        windows: (N, 4), the enlarged boxes that the crops show and that positions refer to.
    """

    def __init__(
        self,
        image_id: np.ndarray,
        boxes: np.ndarray,
        read_image: Callable[[int], np.ndarray],
        size: int,
        frame: FrameName,
        padding: float = 1.0,
        margin: int = 0,
    ) -> None:
        self.image_id, self.read_image = image_id, read_image
        self.size, self.margin = size, margin
        self.frame: FrameName = frame
        self.windows = enlarge(boxes, padding)
        side = size + 2 * margin
        self._areas = enlarge(self.windows, side / size)
        self._cache: Tensor | None = None
        if len(image_id) * 3 * side * side <= CACHE_BYTES:
            cached = torch.empty(len(image_id), 3, side, side, dtype=torch.uint8)
            for i in range(len(image_id)):
                cached[i] = self._cut(i)
            self._cache = cached

    def __len__(self) -> int:
        return len(self.image_id)

    def take(self, rows: np.ndarray) -> UInt8[Tensor, "b 3 s s"]:
        """Return the crops with these indices, RGB."""
        low, high = self.margin, self.margin + self.size
        return self.regions(rows)[..., low:high, low:high]

    def regions(self, rows: np.ndarray) -> UInt8[Tensor, "b 3 r r"]:
        """Return the crops with these indices and the margin around them: r = size + 2 margin."""
        if self._cache is not None:
            return self._cache[torch.from_numpy(np.asarray(rows))]
        return torch.stack([self._cut(int(i)) for i in rows])

    def _cut(self, i: int) -> Tensor:
        """Cut one crop with its margin out of its image, uint8 (3, r, r)."""
        image = self.read_image(int(self.image_id[i]))
        side = self.size + 2 * self.margin
        crop = cut(image, self._areas[i], side, stretch=self.frame == "box")
        return torch.from_numpy(crop.transpose(2, 0, 1).copy())


def to_pixels(positions, size: int):  # noqa: ANN001, ANN201 (arrays or tensors)
    """Convert normalised positions to pixels of a crop of side ``size``, whose first pixel is at 0."""
    return (positions + 0.5) * size - 0.5


def from_pixels(pixels, size: int):  # noqa: ANN001, ANN201 (arrays or tensors)
    """Convert pixels of a crop of side ``size`` to normalised positions; inverse of ``to_pixels``."""
    return (pixels + 0.5) / size - 0.5
