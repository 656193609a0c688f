"""What a garment is: painted parts, and landmarks that know on which parts they lie.

A part is a union of polygons with marks (seams, buttons, pockets) drawn on its cloth. A landmark is
visible when, around it, the cloth of its own parts is still on top after everything was painted.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fashion_ops.synthetic.wardrobe.style import Style
from fashion_ops.taxonomy import category

Tone = Literal["dark", "darker", "light", "trim", "second"]
# Painting order around a body: behind it, on it, or with one of its arms.
Stage = Literal["behind", "body", "left_sleeve", "right_sleeve"]


@dataclass(frozen=True)
class Mark:
    """Something drawn on a part's cloth and clipped to it. ``width`` in heads."""

    kind: Literal["line", "fill", "dot"]
    points: np.ndarray
    tone: Tone
    width: float = 0.03


@dataclass(frozen=True)
class Part:
    """A piece of cloth. ``polygons`` are filled as a union."""

    name: str
    stage: Stage
    polygons: tuple[np.ndarray, ...]
    grain: float = 0.0  # radians by which the weave is turned
    inside: bool = False  # shows the cloth's inner, darker face
    flat_shading: bool = False
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
        """Put landmarks on parts."""
        for name, point in points.items():
            self.landmarks[name] = np.asarray(point, float)
            self.landmark_parts[name] = parts

    def ordered(self) -> tuple[np.ndarray, list[tuple[str, ...]]]:
        """Landmarks (n, 2) in the official order, and the parts of each.

        Raises:
            KeyError: a landmark of the category was not placed.
        """
        names = category(self.style.category_id).landmark_names
        if extra := set(self.landmarks) - set(names):
            raise KeyError(f"{category(self.style.category_id).name} has no landmarks {sorted(extra)}")
        return np.stack([self.landmarks[n] for n in names]), [self.landmark_parts[n] for n in names]
