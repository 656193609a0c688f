"""Sizes of one garment with 95 % intervals, in centimetres, or in pixels where there is no reference.

An interval is 1.96 standard deviations to both sides. They come from 200 draws: each landmark moves
by its own deviation, the plane by that which the corners of the reference and the lens leave it, the
height of the cloth and the size of the reference by theirs. The draws are the same for the same
garment.

A size is *shown* if half its interval is at most 4 cm and a quarter of the size, and no landmark of it
is occluded. Such sizes were 1.26 cm off on average on the first 80 photos of ``bench.sizes``; the best
published figure of a single camera is 1.27 cm. Of a size in pixels half the interval must be
at most a tenth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from fashion_ops.measurement.plane import Plane, fit_plane
from fashion_ops.measurement.points import points_of_measure
from fashion_ops.measurement.scale import Lens, Reference
from fashion_ops.taxonomy import category

WITHIN_95 = 1.96  # standard deviations
_DRAWS = 200
SHOWN_CM, SHOWN_SHARE, _SHOWN_SHARE_PX = 4.0, 0.25, 0.1  # largest half of an interval
# Without a shape prior: the root mean square error of a landmark with score 1, over the root of the
# area of the garment's box, in the boxes of the demo's detector on flat-lay photos. One of a lower
# score is as many times farther off.
_SURE_STD, _LEAST_SCORE = 0.0257, 0.1


@dataclass(frozen=True)
class Cloth:
    """How high the landmarks lie above the surface under the garment, mm, and its deviation."""

    height: float = 2.1
    height_std: float = 1.0


@dataclass(frozen=True)
class Scale:
    """From pixels of one photo to cm: the best plane with its height, and those of all draws."""

    lens: Lens
    best: Plane
    height: float
    drawn: Plane
    heights: Float[np.ndarray, " d"]
    factors: Float[np.ndarray, " d"]

    @classmethod
    def fit(cls, reference: Reference, lens: Lens, cloth: Cloth = Cloth()) -> "Scale":
        """The scale that a reference gives.

        Raises:
            ValueError: its points give no plane.
        """
        rng = np.random.default_rng(0)
        best, drawn = fit_plane(reference, lens, rng.normal(size=(_DRAWS, 7)))
        heights, factors = rng.normal(size=(2, _DRAWS))
        if reference.thickness is None:
            height, heights = 0.0, np.zeros(_DRAWS)
        else:
            height = cloth.height - reference.thickness
            heights = height + heights * cloth.height_std
        return cls(lens, best, height, drawn, heights, 1 + factors * reference.size_std)

    def to_cm(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Places of landmarks on the plane, cm."""
        return self.best.to_mm(self.lens.straighten(pixels), self.height) / 10

    def drawn_cm(self, pixels: Float[np.ndarray, "d n 2"]) -> Float[np.ndarray, "d n 2"]:
        """Places of landmarks in each draw, cm."""
        straight = self.lens.straighten(pixels.reshape(-1, 2)).reshape(pixels.shape)
        return self.drawn.to_mm(straight, self.heights) / 10 * self.factors[:, None, None]


@dataclass(frozen=True)
class Size:
    """One size and its 95 % interval. ``occluded`` names the landmarks that are not to be relied on."""

    name: str
    term: str
    unit: Literal["cm", "px"]
    value: float
    low: float
    high: float
    occluded: tuple[str, ...] = ()
    line: Float[np.ndarray, "v 2"] = field(default_factory=lambda: np.zeros((0, 2)), repr=False)

    @property
    def reach(self) -> float:
        """Half of the interval."""
        return self.high - self.value

    @property
    def shown(self) -> bool:
        """Whether the size is exact enough to be shown."""
        share, most = (SHOWN_SHARE, SHOWN_CM) if self.unit == "cm" else (_SHOWN_SHARE_PX, np.inf)
        return not self.occluded and self.reach <= min(share * self.value, most)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to a hundredth of the unit."""
        return {
            "term": self.term,
            "unit": self.unit,
            "value": round(self.value, 2),
            "interval_95": [round(self.low, 2), round(self.high, 2)],
            "shown": self.shown,
            "occluded": list(self.occluded),
        }


def landmark_stds(
    box: tuple[float, float, float, float], scores: Sequence[float]
) -> Float[np.ndarray, " n"]:
    """Deviation of each predicted landmark in each direction, pixels, from its score.

    For models without a shape prior, which do not tell it. How it was measured: docs/results/sizes.md.
    """
    x1, y1, x2, y2 = box
    side = np.sqrt(max((x2 - x1) * (y2 - y1), 0.0))
    return _SURE_STD * side / np.clip(np.asarray(scores, float), _LEAST_SCORE, 1)


def sizes(
    kind: str,
    landmarks: Float[np.ndarray, "n 2"],
    stds: Float[np.ndarray, " n"],
    scale: Scale | None,
    occluded: frozenset[str] = frozenset(),
) -> list[Size]:
    """Measure one garment.

    Args:
        kind: name of its category.
        landmarks: pixels of the photo.
        stds: their deviations in each direction, pixels.
        scale: of the same photo; None for sizes in pixels.
        occluded: names of landmarks that are hidden; sizes that need them are flagged.

    Raises:
        ValueError: the landmarks are not those of the category.
    """
    names = category(kind).landmark_names
    if len(landmarks) != len(names) or len(stds) != len(names):
        raise ValueError(f"{kind} has {len(names)} landmarks, got {len(landmarks)} and {len(stds)}")
    rng = np.random.default_rng(0)
    moved = landmarks + rng.normal(size=(_DRAWS, *landmarks.shape)) * stds[:, None]
    best = landmarks if scale is None else scale.to_cm(landmarks)
    drawn = moved if scale is None else scale.drawn_cm(moved)
    found = []
    for point in points_of_measure(kind):
        value = float(point.length(best))
        reach = WITHIN_95 * float(np.sqrt(np.mean((point.length(drawn) - value) ** 2)))
        hidden = tuple(names[i] for i in point.landmarks if names[i] in occluded)
        unit: Literal["cm", "px"] = "px" if scale is None else "cm"
        low, line = max(value - reach, 0.0), point.line(landmarks)
        found.append(Size(point.name, point.term, unit, value, low, value + reach, hidden, line))
    return found
