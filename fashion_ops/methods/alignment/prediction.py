"""What a trained alignment method predicts for a garment: the landmarks of its clothes type."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

State = Literal["visible", "occluded", "cut off"]
STATES: tuple[State, ...] = ("visible", "occluded", "cut off")  # by their number in ``catalog``


class PredictedLandmarks(NamedTuple):
    """The n landmarks that garments of a type have, in the order of ``taxonomy.alignment``.

    Attributes:
        landmarks: (n, 3), x and y in pixels of the image, and a score, 0..1.
        states: visibility of each; empty for a method that predicts none.
    """

    landmarks: np.ndarray
    states: tuple[State, ...]


@runtime_checkable
class AlignmentMethod(Protocol):
    """A trained cascade of DFA, or a GLE network."""

    def predict_garments(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        clothes_types: np.ndarray,
    ) -> list[PredictedLandmarks]:
        """Predict the landmarks of N garments.

        Args:
            read_image: returns the RGB uint8 image (H, W, 3) of an image id.
            image_ids: (N,), the image of each garment.
            boxes: (N, 4), x1, y1, x2, y2 in image pixels.
            clothes_types: (N,), FLD's codes 1 upper, 2 lower, 3 full.
        """
        ...


def people_only(folder: Path) -> ValueError:
    """The error of a model that was trained on people and is asked for garments."""
    return ValueError(
        f"{folder}: was trained on people's joints (LSP), it predicts no garment; train it on fld, "
        "category_attribute or in_shop"
    )
