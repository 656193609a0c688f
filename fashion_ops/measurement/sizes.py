"""Sizes of one garment with 95 % intervals, in centimetres, or in pixels where there is no reference.

An interval is 1.96 standard deviations to both sides. They come from 200 draws: each landmark moves
by its own deviation, the corners of the reference by theirs (and the plane is fitted again), the height
of the cloth and the scale of the print by theirs. The draws are the same for the same garment.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from fashion_ops.measurement.points import points_of_measure
from fashion_ops.measurement.scale import CORNER_STD, Lens, Plane, Reference
from fashion_ops.taxonomy import category

_DRAWS, _WITHIN_95 = 200, 1.96
_PRINT_STD = 0.001  # of a printer's scale


@dataclass(frozen=True)
class Cloth:
    """How high the landmarks lie above the upper side of the reference, mm, and its deviation."""

    height: float = 2.0
    height_std: float = 1.0


@dataclass(frozen=True)
class Size:
    """One size and its 95 % interval. ``occluded`` names the landmarks that are not to be relied on."""

    name: str
    term: str
    unit: Literal["cm", "px"]
    value: float
    low: float
    high: float
    occluded: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to a hundredth of the unit."""
        return {
            "term": self.term,
            "unit": self.unit,
            "value": round(self.value, 2),
            "interval_95": [round(self.low, 2), round(self.high, 2)],
            "occluded": list(self.occluded),
        }


def labelling_stds(kind: str, box: tuple[float, float, float, float]) -> Float[np.ndarray, " n"]:
    """Deviation of each landmark, pixels, of a garment with this box: that of DeepFashion2's labellers.

    An OKS sigma is the deviation of repeated labels over the root of the object's area (Ronchi and
    Perona, ICCV 2017). It is the default where a model brings no deviations of its own.
    """
    x1, y1, x2, y2 = box
    return category(kind).sigmas * np.sqrt(max((x2 - x1) * (y2 - y1), 0.0))


def sizes(
    kind: str,
    landmarks: Float[np.ndarray, "n 2"],
    stds: Float[np.ndarray, " n"],
    reference: Reference | None,
    lens: Lens,
    cloth: Cloth = Cloth(),
    occluded: frozenset[str] = frozenset(),
) -> list[Size]:
    """Measure one garment.

    Args:
        kind: name of its category.
        landmarks: pixels of the photo.
        stds: their deviations in each direction, pixels.
        reference: in the same photo; None for sizes in pixels.
        lens: of the camera.
        cloth: how high the landmarks lie.
        occluded: names of landmarks that are hidden; sizes that need them are flagged.

    Raises:
        ValueError: the landmarks are not those of the category, or the reference gives no plane.
    """
    names = category(kind).landmark_names
    if len(landmarks) != len(names) or len(stds) != len(names):
        raise ValueError(f"{kind} has {len(names)} landmarks, got {len(landmarks)} and {len(stds)}")
    rng = np.random.default_rng(0)
    moved = landmarks + rng.normal(size=(_DRAWS, *landmarks.shape)) * stds[:, None]
    if reference is None:
        best, drawn = landmarks, moved
    else:
        best = _in_cm(landmarks, reference, lens, cloth.height)
        heights = cloth.height + rng.normal(size=_DRAWS) * cloth.height_std
        prints = 1 + rng.normal(size=_DRAWS) * _PRINT_STD
        corners = rng.normal(size=(_DRAWS, *reference.pixels.shape)) * CORNER_STD
        drawn = np.stack(
            [
                _in_cm(points, replace(reference, pixels=reference.pixels + c), lens, h) * p
                for points, c, h, p in zip(moved, corners, heights, prints, strict=True)
            ]
        )
    found = []
    for point in points_of_measure(kind):
        value = float(point.length(best))
        reach = _WITHIN_95 * float(np.sqrt(np.mean((point.length(drawn) - value) ** 2)))
        hidden = tuple(names[i] for i in point.landmarks if names[i] in occluded)
        unit: Literal["cm", "px"] = "px" if reference is None else "cm"
        low = max(value - reach, 0.0)
        found.append(Size(point.name, point.term, unit, value, low, value + reach, hidden))
    return found


def _in_cm(
    landmarks: Float[np.ndarray, "n 2"], reference: Reference, lens: Lens, height: float
) -> Float[np.ndarray, "n 2"]:
    """Places on the plane, cm."""
    return Plane.fit(reference, lens).to_mm(lens.straighten(landmarks), height) / 10
