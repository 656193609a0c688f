"""How the scale of photos is found: by which reference, with which lens and cloth."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from fashion_ops.measurement.flat_things import find_card, find_paper
from fashion_ops.measurement.scale import Lens, Reference
from fashion_ops.measurement.sheet import find_sheet
from fashion_ops.measurement.sizes import Cloth, Scale

ReferenceKind = Literal["auto", "sheet", "a4", "letter", "card", "none"]


@dataclass(frozen=True)
class Scaling:
    """How sizes get their scale.

    Attributes:
        kind: of the reference. ``auto`` takes the sheet with markers, else bare A4 or Letter paper; it
            never takes a card, because too many things have its proportion. ``none`` gives pixels.
        pixels_per_cm: a scale by hand, in place of a reference.
        lens: of the camera; None for the usual one.
        cloth: how high landmarks lie.
    """

    kind: ReferenceKind = "auto"
    pixels_per_cm: float | None = None
    lens: Lens | None = None
    cloth: Cloth = field(default_factory=Cloth)

    def __post_init__(self) -> None:
        value = self.pixels_per_cm
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"pixels per cm must be a number above 0, got {value:g}")

    def lens_of(self, width: int, height: int) -> Lens:
        """The lens of a photo of this size.

        Raises:
            ValueError: the calibration is of photos of another size.
        """
        if self.lens is None:
            return Lens.usual(width, height)
        x, y = self.lens.matrix[:2, 2]
        if not (0.25 * width < x < 0.75 * width and 0.25 * height < y < 0.75 * height):
            raise ValueError(
                f"the calibration has its centre at {x:.0f}, {y:.0f}, not near the middle of a photo "
                f"of {width} x {height}; calibrate with photos of this size"
            )
        return self.lens

    def find(self, image: UInt8[np.ndarray, "h w 3"], lens: Lens) -> Reference | None:
        """The reference in an RGB photo; None where it is not seen, or none is to be looked for."""
        if self.kind == "none" or self.pixels_per_cm is not None:
            return None
        if self.kind == "card":
            return find_card(image, lens)
        if self.kind in ("a4", "letter"):
            return find_paper(image, lens, "A4" if self.kind == "a4" else "Letter")
        sheet = find_sheet(image)
        return find_paper(image, lens) if sheet is None and self.kind == "auto" else sheet

    def scale(self, reference: Reference, lens: Lens) -> Scale:
        """The scale that a reference gives; raises as ``Scale.fit``."""
        return Scale.fit(reference, lens, self.cloth)
