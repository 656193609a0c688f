"""A second look at the garments of a photo, in crops around them.

A photo with a reference beside the garment shows the garment smaller than the images that models are
trained on. So the garments that the first look finds, however unsure, are cropped and found again.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fashion_ops.evaluation.overlaps import overlaps
from fashion_ops.methods.centernet.deploy.photo import Photo

if TYPE_CHECKING:
    from fashion_ops.inference.predictor import Garment

_FIRST_SCORE = 0.08  # least score of the first look
_MOST = 4  # crops of a photo
_MARGIN = 1.15  # side of a crop over the longer side of the box
_SAME = 0.5  # overlap of two boxes of one garment
_WHOLE = 0.85  # of both sides of the photo: a crop that large shows nothing more

Find = Callable[[Sequence[Photo], float], "list[list[Garment]]"]


def find_twice(
    find: Find, photos: Sequence[Photo], min_score: float, look: Find | None = None
) -> "list[list[Garment]]":
    """Find the garments of photos, best first, in pixels of the whole photos.

    Args:
        find: finds the garments of photos that have at least a score, as ``predict_many`` does.
        photos: decoded.
        min_score: garments that have a lower score in their crop are left out.
        look: the first look, see ``first_look``; None: ``find``, with landmarks that nothing reads.
    """
    crops = crops_of(photos, (look or find)(photos, first_score(min_score)))
    second = find([crop for _, crop in crops], min_score) if crops else []
    return gathered(len(photos), crops, second)


def first_look(predictor: Any) -> Find:
    """What takes a predictor's first look: ``detect_many``, the boxes alone, where it has that."""
    return getattr(predictor, "detect_many", predictor.predict_many)


def first_score(min_score: float) -> float:
    """The least score of the first look."""
    return min(_FIRST_SCORE, min_score)


def crops_of(
    photos: Sequence[Photo], garments: "Sequence[Sequence[Garment] | None]"
) -> list[tuple[int, Photo]]:
    """The crops for a second look, each with the number of its photo.

    Args:
        photos: decoded.
        garments: of each photo, from the first look; None for a photo that failed.
    """
    found = enumerate(zip(photos, garments, strict=True))
    return [(number, crop) for number, (photo, few) in found for crop in _crops(photo, few or [])]


def gathered(
    photos: int,
    crops: Sequence[tuple[int, Photo]],
    garments: "Sequence[Sequence[Garment]]",
) -> "list[list[Garment]]":
    """The garments of each photo from those of its crops: the best one in the middle of each."""
    found: list[list[Garment]] = [[] for _ in range(photos)]
    for (number, crop), few in zip(crops, garments, strict=True):
        found[number] += [garment for garment in few if _holds_middle(garment, crop)][:1]
    return [_distinct(of_photo) for of_photo in found]


def _crops(photo: Photo, garments: "Sequence[Garment]") -> list[Photo]:
    """Squares around the distinct garments of a photo, clipped to it; the photo itself if large."""
    height, width = photo.pixels.shape[:2]
    crops = []
    for garment in _distinct(garments)[:_MOST]:
        box = photo.to_pixels(np.array(garment.box).reshape(2, 2))
        half = np.ptp(box, axis=0).max() * _MARGIN / 2
        low = np.clip(np.floor(box.mean(0) - half), 0, (width - 1, height - 1)).astype(int)
        high = np.clip(np.ceil(box.mean(0) + half), low + 1, (width, height)).astype(int)
        if ((high - low) >= _WHOLE * np.array([width, height])).all():
            low, high = np.zeros(2, int), np.array([width, height])
        pixels = np.ascontiguousarray(photo.pixels[low[1] : high[1], low[0] : high[0]])
        # a point p of these pixels is at factor * p + shift of the whole photo, to which they belong
        x, y = photo.to_photo(low.astype(float))
        crops.append(Photo(pixels, photo.size, photo.factor, (float(x), float(y))))
    return crops


def _holds_middle(garment: "Garment", crop: Photo) -> bool:
    """Whether the middle of a crop lies in the box of a garment."""
    x, y = crop.to_photo(np.array(crop.pixels.shape[1::-1]) / 2)
    x1, y1, x2, y2 = garment.box
    return bool(x1 <= x <= x2 and y1 <= y <= y2)


def _distinct(garments: "Sequence[Garment]") -> "list[Garment]":
    """The garments without those that lie where a better one does, best first."""
    kept: list[Garment] = []
    for garment in sorted(garments, key=lambda garment: -garment.score):
        boxes = np.array([other.box for other in kept], float).reshape(-1, 4)
        if (overlaps(np.array([garment.box], float), boxes) < _SAME).all():
            kept.append(garment)
    return kept
