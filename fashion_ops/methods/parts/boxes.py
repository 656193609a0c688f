"""The box of a garment, labelled or detected."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Box:
    """The box of one garment.

    ``box``: float32 (4,) x1, y1, x2, y2 in image pixels, within the image.
    """

    box: np.ndarray
    score: float
    category_id: int


@runtime_checkable
class Boxed(Protocol):
    """A ``Box``, or a ``Detection``, which also has landmarks."""

    @property
    def box(self) -> np.ndarray:
        """See ``Box``."""
        ...

    @property
    def score(self) -> float:
        """0..1."""
        ...

    @property
    def category_id(self) -> int:
        """1..13."""
        ...
