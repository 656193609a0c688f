"""The example of a version: drawn photos, and the garments that the version finds in them in torch.

The service compares its exported networks with it before it switches to the version.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fashion_ops.inference.alignment_predictor import AnyPredictor
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan

MIN_SCORE = 0.1
MAX_SHIFT = 0.02  # of a box's diagonal, that the mean landmark may move
MAX_SCORE = 0.1  # that a score may change
_SIZE = 256  # pixels
_PICTURES = 3


@dataclass(frozen=True)
class Example:
    """Encoded photos, and the garments of each as ``Garment.to_json`` gives them."""

    photos: list[bytes]
    garments: list[list[dict[str, Any]]]

    @classmethod
    def of(cls, predictor: AnyPredictor) -> "Example":
        """Predict the drawn photos."""
        photos = [encode(shot, _SIZE)[0] for shot in plan(0, "validation", _PICTURES, 0.35)]
        return cls(photos, [_predict(predictor, photo) for photo in photos])

    def check(self, predictor: AnyPredictor) -> None:
        """Check that a predictor finds the same garments, within rounding of its number format.

        Raises:
            ValueError: it does not; names the photo and what differs.
        """
        for number, (photo, expected) in enumerate(zip(self.photos, self.garments, strict=True)):
            found = _predict(predictor, photo)
            for garment in expected:
                if garment["score"] < MIN_SCORE + MAX_SCORE:
                    continue  # may fall below the lowest score by rounding
                if not any(same_garment(garment, other, MAX_SCORE) for other in found):
                    raise ValueError(
                        f"example photo {number}: {garment['category']} at {garment['box']} with score "
                        f"{garment['score']} is not predicted again, but {len(found)} others"
                    )


def _predict(predictor: AnyPredictor, photo: bytes) -> list[dict[str, Any]]:
    """The garments of an encoded photo."""
    return [g.to_json() for g in predictor.predict(predictor.decode(photo, "example photo"), MIN_SCORE)]


def same_garment(expected: dict[str, Any], found: dict[str, Any], score: float) -> bool:
    """Whether two garments are the same but for rounding, their scores within ``score``."""
    if expected["category"] != found["category"]:
        return False
    x1, y1, x2, y2 = expected["box"]
    points, others = (
        np.array([[p["x"], p["y"]] for p in g["landmarks"].values()]) for g in (expected, found)
    )
    shift = float(np.linalg.norm(points - others, axis=1).mean())
    diagonal = float(np.hypot(x2 - x1, y2 - y1))
    near = abs(expected["score"] - found["score"]) <= score
    return near and shift <= MAX_SHIFT * diagonal + 0.5
