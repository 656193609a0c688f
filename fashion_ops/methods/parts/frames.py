"""Coordinate frames in which the landmarks of a garment with a box are predicted, and their inverses.

``letterbox``: the box scaled by one factor to fit a square, the short side centred (as in the authors'
release of DFA). ``box_frame``: eq. 5 of DFA, each axis relative to the side of the box. ``cut`` cuts
images for both. The edges of the box lie on the edges of the frame; in a cut image the pixel (i, j) has
its centre at (i + 0.5, j + 0.5) of a frame that starts at 0, so that a flipped image and mirrored
points agree exactly.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 224.0


@dataclass(frozen=True)
class Frame:
    """One frame for each garment: ``p = xy * scale + shift``; ``scale`` and ``shift`` are (N, 2)."""

    scale: np.ndarray
    shift: np.ndarray

    def apply(self, xy: np.ndarray) -> np.ndarray:
        """Convert image pixels (N, n, 2) to coordinates of the frame."""
        return xy * self.scale[:, None] + self.shift[:, None]

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Convert coordinates of the frame (N, n, 2) to image pixels."""
        return (points - self.shift[:, None]) / self.scale[:, None]


def letterbox(boxes: np.ndarray, side: float = SIDE, *, centered: bool = False) -> Frame:
    """Make the frame whose square encloses the box: 0..side, or -side/2..side/2 if ``centered``.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2, with an area.
        side: of the square; 1 with ``centered`` gives -0.5..0.5, as in the release.
        centered: whether 0 is the middle of the box.

    Raises:
        ValueError: a box without an area.
    """
    low, size = _low_and_size(boxes)
    scale = np.repeat(side / size.max(axis=1, keepdims=True), 2, axis=1)
    shift = -(low + size / 2) * scale + (0.0 if centered else side / 2)
    return Frame(scale, shift)


def box_frame(boxes: np.ndarray) -> Frame:
    """Make the frame of DFA's eq. 5, in which each box (N, 4) runs from -0.5 to 0.5 along both axes.

    A point is ((x - x_centre) / width, (y - y_centre) / height).

    Raises:
        ValueError: a box without an area.
    """
    low, size = _low_and_size(boxes)
    return Frame(1 / size, -(low + size / 2) / size)


def _low_and_size(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x1, y1 and width, height of boxes, (N, 2) each.

    Raises:
        ValueError: a box without an area.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    size = boxes[:, 2:] - boxes[:, :2]
    if len(size) and size.min() <= 0:
        row = int((size <= 0).any(axis=1).argmax())
        raise ValueError(f"box {row} is {boxes[row].tolist()}; expected x1 < x2 and y1 < y2")
    return boxes[:, :2], size


def cut(image: np.ndarray, box: np.ndarray, side: int, *, stretch: bool = False) -> np.ndarray:
    """Cut the box out of an image as uint8 (side, side, 3); what lies outside the image is black.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) x1, y1, x2, y2 in image pixels.
        side: of the square, pixels.
        stretch: whether each axis of the box fills the square; landmarks are then in ``box_frame``,
            times ``side``, from 0. Otherwise they are in ``letterbox(box, side)``.
    """
    box = np.asarray(box, np.float64).reshape(1, 4)
    if stretch:
        size = box[:, 2:] - box[:, :2]
        frame = Frame(side / size, -box[:, :2] * side / size)
    else:
        frame = letterbox(box, side)
    scale, shift = frame.scale[0], frame.shift[0]
    matrix = np.array([[scale[0], 0, shift[0] - 0.5], [0, scale[1], shift[1] - 0.5]])
    x1, y1, x2, y2 = box[0]
    left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
    inside = image[top : int(np.ceil(y2)) + 1, left : int(np.ceil(x2)) + 1]
    if not inside.size:
        return np.zeros((side, side, 3), np.uint8)
    # warpAffine does not average over areas: shrink first where the box is much larger.
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    while scale.max() < 0.5:
        height, width = inside.shape[:2]
        inside = cv2.resize(inside, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        factor = np.array([width / inside.shape[1], height / inside.shape[0]])
        matrix[:, 2] += matrix[:, :2] @ ((factor - 1) / 2)
        matrix[:, :2] *= factor
        scale = scale * factor
    return cv2.warpAffine(inside, matrix, (side, side), flags=cv2.INTER_LINEAR)
