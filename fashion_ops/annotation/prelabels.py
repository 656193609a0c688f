"""Labels that a model gives a photo, for people to correct.

The photo is written as the model saw it: labels are of images as they are stored, so one that EXIF
turns is saved turned.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fashion_ops.annotation.photos import AnnotatedPhoto, Scores
from fashion_ops.annotation.upright import as_labelled
from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.sources.base import Item, Labels
from fashion_ops.taxonomy import category


class FoundGarment(Protocol):
    """A garment as ``inference.predictor`` gives it."""

    @property
    def category(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def box(self) -> tuple[float, float, float, float]: ...
    @property
    def landmarks(self) -> Mapping[str, tuple[float, float, float]]: ...


class Finder(Protocol):
    """What finds garments in a photo, in pixels of the upright photo."""

    def predict(self, _: Path, /, min_score: float | None) -> Sequence[FoundGarment]: ...


def prelabelled(
    path: Path, name: str, finder: Finder, min_score: float | None, labelled_by: str
) -> AnnotatedPhoto:
    """A photo with what a model finds in it; a landmark outside of the photo is not labelled.

    Args:
        path: of the photo.
        name: what to call it.
        finder: the model.
        min_score: lowest score of a garment; None takes the one stored with the model.
        labelled_by: name of the model.

    Raises:
        ValueError: the photo cannot be read.
    """
    try:
        load, size = as_labelled(path)
    except Refused as refused:
        mend = "name a folder of photos that can be read"
        raise ValueError(f"{path}: {refused.reason}: {refused.value}; {mend}") from refused
    found = finder.predict(path, min_score)
    items = [_item(garment, number, size) for number, garment in enumerate(found, 1)]
    scores = [Scores(g.score, tuple(s for _, _, s in g.landmarks.values())) for g in found]
    labels = Labels(items)
    return AnnotatedPhoto(
        name, load, size, labels, scores=tuple(scores), labelled_by=labelled_by, place=str(path)
    )


def _item(garment: FoundGarment, number: int, size: tuple[int, int]) -> Item:
    width, height = size
    flat: list[float] = []
    for x, y, _ in garment.landmarks.values():
        flat += [x, y, 2] if 0 <= x < width and 0 <= y < height else [0, 0, 0]
    return Item(f"item{number}", category(garment.category).id, "", list(garment.box), flat, [])
