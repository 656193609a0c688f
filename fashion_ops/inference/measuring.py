"""Sizes of the garments that a predictor found in a photo.

A landmark counts as occluded if the model is unsure of it (score below ``UNSURE``) or it lies on the
border of the photo, beyond which the garment goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fashion_ops.measurement.references import Scaling
from fashion_ops.measurement.scale import Reference
from fashion_ops.measurement.sizes import Size, landmark_stds, sizes
from fashion_ops.methods.centernet.deploy.photo import Photo

if TYPE_CHECKING:
    from fashion_ops.inference.predictor import Garment

UNSURE = 0.2  # as in the drawings of ``predict``: landmarks of a lower score are hollow there
_BORDER = 0.004  # of the longer side of the photo
IN_PIXELS = "no reference found: sizes are pixels of this photo, not centimetres"


@dataclass(frozen=True)
class Measured:
    """The sizes of the garments of a photo.

    Attributes:
        reference: that gave the scale, in pixels of the whole photo; None for sizes in pixels.
        note: why the sizes are pixels; empty for centimetres.
        sizes: of each garment, in the order of the garments.
    """

    reference: Reference | None
    note: str
    sizes: list[list[Size]]

    @property
    def unit(self) -> str:
        """``cm`` or ``px``."""
        return "px" if self.reference is None else "cm"

    def to_json(self, garments: "Sequence[Garment]") -> dict[str, Any]:
        """Plain values for JSON: the unit, the reference, and the garments with their sizes."""
        reference = self.reference and {
            "name": self.reference.name,
            "outline": np.round(self.reference.outline, 1).tolist(),
        }
        found = [
            {
                "category": garment.category,
                "score": round(garment.score, 4),
                "box": [round(v, 2) for v in garment.box],
                "sizes": {size.name: size.to_json() for size in of_garment},
            }
            for garment, of_garment in zip(garments, self.sizes, strict=True)
        ]
        note = {"note": self.note} if self.note else {}
        return {"unit": self.unit, "reference": reference, **note, "garments": found}


def measure_photo(photo: Photo, garments: "Sequence[Garment]", scaling: Scaling) -> Measured:
    """Measure the garments of a photo: ``find_reference``, then ``measure_garments``."""
    return measure_garments(photo, garments, scaling, find_reference(photo, scaling))


def find_reference(photo: Photo, scaling: Scaling) -> Reference | None:
    """Find what gives a photo its scale, in pixels of the whole photo; it needs no garments.

    Raises:
        ValueError: the calibration is of photos of another size.
    """
    lens = scaling.lens_of(*photo.size)
    reference = scaling.find(photo.pixels, lens.reduced(photo.factor))
    if scaling.pixels_per_cm is not None:
        return Reference.by_hand(scaling.pixels_per_cm, *photo.size)
    if reference is not None and photo.factor > 1:
        return reference.enlarged(photo.to_photo, photo.factor)
    return reference


def measure_garments(
    photo: Photo, garments: "Sequence[Garment]", scaling: Scaling, reference: Reference | None
) -> Measured:
    """Measure the garments of a photo by its reference.

    Args:
        photo: decoded, possibly at a reduced size.
        garments: found in it, in pixels of the whole photo.
        scaling: how the scale is found.
        reference: of ``find_reference``.

    Raises:
        ValueError: the calibration is of photos of another size.
    """
    lens = scaling.lens_of(*photo.size)
    note = "" if reference else IN_PIXELS
    scale = None
    if reference is not None:
        try:
            scale = scaling.scale(reference, lens)
        except ValueError:
            reference, note = None, f"the {reference.name} gives no plane: sizes are pixels"
    found = []
    for garment in garments:
        points = np.array(list(garment.landmarks.values()))
        found.append(
            sizes(
                garment.category,
                points[:, :2],
                _stds(garment, points[:, 2]),
                scale,
                _occluded(garment, photo.size),
            )
        )
    return Measured(reference, note, found)


def _stds(garment: "Garment", scores: np.ndarray) -> np.ndarray:
    """Deviation of each landmark, pixels: that of the shape prior, else from its score."""
    if garment.deviations:
        return np.array(list(garment.deviations.values()))
    return landmark_stds(garment.box, scores.tolist())


def _occluded(garment: "Garment", size: tuple[int, int]) -> frozenset[str]:
    """Names of the landmarks that are not to be relied on."""
    border = _BORDER * max(size)
    width, height = size
    return frozenset(
        name
        for name, (x, y, score) in garment.landmarks.items()
        if score < UNSURE
        or not (border <= x <= width - 1 - border and border <= y <= height - 1 - border)
    )
