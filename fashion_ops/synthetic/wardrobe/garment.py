"""A garment: painted parts, and landmarks with the parts on which they lie.

A part is a union of polygons with marks (seams, buttons, pockets) drawn on its cloth. A landmark is
visible if the cloth of its parts is on top around it in the finished painting.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fashion_ops.synthetic.wardrobe.style import Style
from fashion_ops.taxonomy import category

Tone = Literal["dark", "darker", "light", "trim", "second"]
# When a part is painted: behind the body, on it, or with one of its arms.
PaintOrder = Literal["behind", "body", "left_sleeve", "right_sleeve"]


@dataclass(frozen=True)
class Mark:
    """Something drawn on a part's cloth and clipped to it. ``points`` (k, 2) and ``width`` in heads."""

    kind: Literal["line", "fill", "dot"]
    points: np.ndarray
    tone: Tone
    width: float = 0.03


@dataclass(frozen=True)
class Part:
    """A piece of cloth: the union of ``polygons`` (k, 2), in heads."""

    name: str
    order: PaintOrder
    polygons: tuple[np.ndarray, ...]
    grain: float = 0.0  # radians by which the weave is turned
    inside: bool = False  # the inner, darker face of the cloth
    marks: tuple[Mark, ...] = ()


@dataclass
class Garment:
    """A garment on a figure, in heads."""

    style: Style
    parts: list[Part] = field(default_factory=list)
    landmarks: dict[str, np.ndarray] = field(default_factory=dict)  # by taxonomy name
    landmark_parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    repeats: list[np.ndarray] = field(default_factory=list)  # polygons of sleeves and legs

    def place(self, parts: tuple[str, ...], **points: np.ndarray) -> None:
        """Add landmarks by name, each a point (2,) in heads that lies on these parts."""
        for name, point in points.items():
            self.landmarks[name] = np.asarray(point, float)
            self.landmark_parts[name] = parts

    def ordered(self) -> tuple[np.ndarray, list[tuple[str, ...]]]:
        """Landmarks (n, 2), in heads, in the order of the taxonomy, and the parts of each.

        Raises:
            KeyError: a landmark of the category was not placed, or one of another category was.
        """
        names = category(self.style.category_id).landmark_names
        if extra := set(self.landmarks) - set(names):
            raise KeyError(f"{category(self.style.category_id).name} has no landmarks {sorted(extra)}")
        return np.array([self.landmarks[n] for n in names]), [self.landmark_parts[n] for n in names]
