"""What a format has no place for, counted on the photos that are exported."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from fashion_ops.annotation.photos import AnnotatedPhoto, points_of
from fashion_ops.catalog.sources.base import Item


class Feature(StrEnum):
    """Something that labels may hold; the value names it in a message."""

    SCALE = "scale"
    OCCLUSION = "occlusion"
    ZOOM_IN = "zoom-in"
    VIEWPOINT = "viewpoint"
    STYLE = "style"
    POLYGONS = "polygons"
    OUTSIDE = "landmarks outside of the photo (written as not labelled)"
    BOX_OUTSIDE = "boxes that reach beyond the photo (cut at its edge)"
    PAIR = "pair id"
    SOURCE = "source (shop or user)"
    PAIR_OF_NEGATIVE = "pair id of photos without garments"
    SOURCE_OF_NEGATIVE = "source of photos without garments"
    SCORE = "scores of garments"
    LANDMARK_SCORE = "scores of landmarks"


_OF_GARMENT: dict[Feature, Callable[[Item], bool]] = {
    Feature.SCALE: lambda item: item.scale > 0,
    Feature.OCCLUSION: lambda item: item.occlusion > 0,
    Feature.ZOOM_IN: lambda item: item.zoom_in > 0,
    Feature.VIEWPOINT: lambda item: item.viewpoint > 0,
    Feature.STYLE: lambda item: item.style > 0,
    Feature.POLYGONS: lambda item: bool(item.polygons),
}


def lost(photos: Iterable[AnnotatedPhoto], features: frozenset[Feature]) -> Counter[Feature]:
    """How many values of each feature the photos hold.

    Args:
        photos: those of an export.
        features: what the format has no place for.
    """
    return Counter(found for photo in photos for found in _found(photo) if found in features)


def lines(format_name: str, counts: Counter[Feature]) -> list[str]:
    """A line for each feature that is lost, in the order of ``Feature``."""
    return [f"{format_name} cannot say: {f}: {counts[f]}" for f in Feature if counts[f]]


def _found(photo: AnnotatedPhoto) -> Iterator[Feature]:
    labels, (width, height) = photo.labels, photo.size
    for item in labels.items:
        yield from (feature for feature, holds in _OF_GARMENT.items() if holds(item))
        points = points_of(item)
        labelled = points[points[:, 2] > 0, :2]
        outside = ((labelled < 0) | (labelled > (width, height))).any(axis=1).sum()
        yield from [Feature.OUTSIDE] * int(outside)
        x1, y1, x2, y2 = item.box
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            yield Feature.BOX_OUTSIDE
    if labels.pair_id >= 0:
        yield Feature.PAIR if labels.items else Feature.PAIR_OF_NEGATIVE
    if labels.source:
        yield Feature.SOURCE if labels.items else Feature.SOURCE_OF_NEGATIVE
    for scores in photo.scores:
        yield Feature.SCORE
        yield from [Feature.LANDMARK_SCORE] * len(scores.landmarks)
