"""A garment's box, wherever it comes from."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Box:
    """One garment's box; image pixels.

    ``box``: float32 (4,) x1, y1, x2, y2 within the image.
    """

    box: np.ndarray
    score: float
    category_id: int


class Boxed(Protocol):
    """What a ``Box`` and a ``Detection`` with landmarks have in common."""

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
