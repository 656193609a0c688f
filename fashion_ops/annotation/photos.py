"""The common form of all formats: a photo with its labels, and what readers of formats share.

Labels are those of ``catalog.sources.base``. No reader checks values: ``checked`` does, by the rules of
``ingest``. A reader yields a ``Refusal`` for what it cannot take, and goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from fashion_ops.annotation.upright import as_stored
from fashion_ops.catalog.checks import check_items
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused, short
from fashion_ops.catalog.sources.base import Item, Labels
from fashion_ops.catalog.sources.coco_fields import find_category
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES, Category

GRADES = ("scale", "occlusion", "zoom_in", "viewpoint", "style")  # numbers of a garment
_DECIMALS = 9  # of a pixel: what percentages and shares lose in arithmetic

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Scores:
    """How sure a model is of a garment: 0..1, and likewise of each landmark."""

    garment: float
    landmarks: tuple[float, ...]


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo and its labels.

    Attributes:
        name: its path in a folder of photos, with "/".
        load: reads its bytes.
        size: width and height, pixels.
        labels: its garments; without any it shows none.
        split: train, validation or test.
        scores: of each garment, where a model labelled it; else empty.
        labelled_by: name of the model; "" where people did.
        place: file and record of its labels, for messages.
        provenance: what a batch says of where the labels come from.
        item_provenance: the same of each garment, where it is known; else empty.
    """

    name: str
    load: Callable[[], bytes]
    size: tuple[int, int]
    labels: Labels
    split: str = "train"
    scores: tuple[Scores, ...] = ()
    labelled_by: str = ""
    place: str = ""
    provenance: Mapping[str, str | int] = field(default_factory=dict)
    item_provenance: tuple[Mapping[str, str | float], ...] = ()


Read = Iterator[AnnotatedPhoto | Refusal]


def noted(file: str, text: str) -> Refusal:
    """A row for something that is no fault, but is to be said, such as what is not used."""
    return Refused(Reason.UNUSED, text, 0).row("", file)


def checked(photos: Iterable[AnnotatedPhoto | Refusal]) -> Read:
    """Check garments by the rules of ``ingest``; each that breaks one becomes a refusal.

    Landmarks without a label become (0, 0, 0).
    """
    for photo in photos:
        if isinstance(photo, Refusal):
            yield photo
            continue
        items = photo.labels.items
        width, height = (np.full(len(items), side) for side in photo.size)
        _, refused = check_items(items, width, height)
        for index, problem in sorted(refused.items()):
            yield problem.row(photo.split, photo.place or photo.name, items[index].name)
        if not refused:
            cleaned = [item._replace(landmarks=_cleared(item.landmarks)) for item in items]
            yield replace(photo, labels=replace(photo.labels, items=cleaned))


def _cleared(landmarks: list[float]) -> list[float]:
    """The landmarks x, y, v, ... with (0, 0, 0) for each that is not labelled."""
    points = zip(*[iter(landmarks)] * 3, strict=True)
    return [value for x, y, v in points for value in ((x, y, int(v)) if v else (0, 0, 0))]


def write_photo(path: Path, photo: AnnotatedPhoto) -> None:
    """Write a photo, so that tools show the labelled pixels; makes its folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_stored(photo.load()))


def points_of(item: Item) -> np.ndarray:
    """The landmarks of a checked garment, float64 (n, 3): x, y, visibility."""
    return np.array(item.landmarks, float).reshape(-1, 3)


def category_of(item: Item) -> Category:
    """The category of a checked garment."""
    return CATEGORIES[item.category - 1]


def find(name: object) -> Category:
    """The category that a format names.

    Raises:
        Refused: there is none of this name.
    """
    category_id = find_category(name) if isinstance(name, str) else None
    if category_id is None:
        known = ", ".join(CATEGORY_NAMES[:3])
        raise Refused(Reason.CATEGORY, f"{name!r}; rename it to one of the 13, such as {known}")
    return CATEGORIES[category_id - 1]


def landmark_index(kind: Category, name: str) -> int:
    """Index of a landmark by our name or by its number from 1 on.

    Raises:
        Refused: the category has no such landmark.
    """
    if name in kind.landmark_names:
        return kind.landmark_names.index(name)
    if name.isascii() and name.isdecimal() and len(name) < 9 and 1 <= int(name) <= kind.num_landmarks:
        return int(name) - 1
    raise Refused(
        Reason.LANDMARK,
        f"{name!r}; name it 1..{kind.num_landmarks} or as a landmark of {kind.name}, such as "
        f"{kind.landmark_names[0]}",
    )


def box_around(points: Sequence[Sequence[float]]) -> list[float] | None:
    """The box x1, y1, x2, y2 around labelled landmarks (x, y, v); None if there is none."""
    labelled = [(x, y) for x, y, v in points if v > 0]
    if not labelled:
        return None
    xs, ys = zip(*labelled, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def pixels(value: float) -> float:
    """A coordinate without the last digits that the conversion from a share made up."""
    return round(value, _DECIMALS)


def parsed(model: type[T], data: Any) -> T:
    """``data`` checked against a pydantic model.

    Raises:
        Refused: it does not fit; names the field, its value and what is expected.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        said = f"{place} is {short(first['input'])}: {first['msg'].lower()}"
        raise Refused(Reason.FIELD, said) from None


@contextmanager
def told(rows: list[Refusal], file: str, item: str = "", split: str = "") -> Iterator[None]:
    """Turn what is refused in the block into a row of ``rows`` that names file and record."""
    try:
        yield
    except Refused as refused:
        rows.append(refused.row(split, file, item))
