"""Checks labelled garments; all garments of a chunk are checked together, mostly in numpy.

First the shapes are checked item by item: there is a box of four numbers, the landmark count fits the
category. Then the numbers of all items that passed are checked in flat arrays: they are finite,
visibility is in 0..2, the box has an area, part of the garment lies inside the image. Unlabelled
landmarks (visibility 0) are set to (0, 0). An item without any labelled landmark is legal:
DeepFashion2 has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np

from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.base import Item, integer
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES, NUM_CATEGORIES, category

_NUMBERS = [0] + [3 * c.num_landmarks for c in CATEGORIES]
_LABELS = [""] + [c.label for c in CATEGORIES]
_NUMERIC = {int, float}
_GRADES = ("scale", "occlusion", "zoom_in", "viewpoint")


@dataclass(frozen=True)
class Ragged:
    """Rows of different length: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, lengths: Sequence[int] | np.ndarray) -> "Ragged":
        """From the concatenated values and the length of each row."""
        return cls(values, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32))

    def keep(self, rows: np.ndarray) -> "Ragged":
        """The rows where the boolean ``rows`` is true."""
        lengths = np.diff(self.offsets)
        return Ragged.of(self.values[np.repeat(rows, lengths)], lengths[rows])


@dataclass(frozen=True)
class CheckedGarments:
    """The valid garments of a chunk as columns (see ``schemas.GARMENTS``)."""

    index: np.ndarray  # position among the items that were checked
    category_id: np.ndarray
    box: np.ndarray  # (n, 4) float32
    landmarks: Ragged  # float32, 3 * num_landmarks a row
    num_labelled: np.ndarray
    scale: np.ndarray
    occlusion: np.ndarray
    zoom_in: np.ndarray
    viewpoint: np.ndarray
    style: np.ndarray
    polygons: Ragged  # one row per garment, as long as it has polygons; the values mean nothing
    polygon_points: Ragged  # float32 x, y, ...; one row per polygon


def check_items(
    items: Sequence[Item], widths: np.ndarray, heights: np.ndarray
) -> tuple[CheckedGarments, dict[int, Refused]]:
    """Split ``items`` into valid garments and refusals.

    Args:
        items: as a source gave them.
        widths: width of each item's image, pixels, shape (len(items),).
        heights: height of each item's image, likewise.

    Returns:
        The valid garments, and for each other item, by its index in ``items``, why it is refused.
    """
    refused: dict[int, Refused] = {}
    shaped = []
    for i, item in enumerate(items):
        problem = _shape_problem(item)
        if problem is None:
            shaped.append(i)
        else:
            refused[i] = problem
    shaped = _only_numbers(items, shaped, refused)
    garments = _columns(items, shaped)
    problems = _value_problems(garments, [items[i] for i in shaped], widths[shaped], heights[shaped])
    refused.update({shaped[j]: problem for j, problem in problems.items()})
    return _keep(garments, np.array([i not in refused for i in shaped], bool)), refused


def _shape_problem(item: Item) -> Refused | None:
    if item.problem is not None:
        return item.problem
    category_id = item.category
    if type(category_id) is not int or not 1 <= category_id <= NUM_CATEGORIES:
        if category_id is None or isinstance(category_id, list | dict):
            return Refused(Reason.SHAPE, f"category {category_id!r}; expected 1..{NUM_CATEGORIES}")
        return Refused(Reason.CATEGORY, f"{category_id!r}; expected 1..{NUM_CATEGORIES}")
    name, label = item.category_name, _LABELS[category_id]
    if name and name != label and (not isinstance(name, str) or _is_other_name(name, category_id)):
        return Refused(Reason.CATEGORY, f"id {category_id} is {label}, named {name!r}")
    landmarks = item.landmarks
    if type(landmarks) is not list:
        return Refused(Reason.SHAPE, f"landmarks {landmarks!r}; expected a flat list x, y, v, ...")
    expected = _NUMBERS[category_id]
    if len(landmarks) != expected:
        return Refused(
            Reason.COUNT,
            f"{len(landmarks)} numbers; expected {expected}: x, y, v of the {expected // 3} landmarks "
            f"of a {label}",
        )
    if type(item.box) is not list or len(item.box) != 4:
        return Refused(Reason.SHAPE, f"box {item.box!r}; expected four numbers")
    for polygon in item.polygons if isinstance(item.polygons, list | tuple) else (None,):
        if type(polygon) is not list or len(polygon) % 2:
            return Refused(Reason.SHAPE, f"polygon {polygon!r}; expected a flat list x, y, ...")
    for grade in _GRADES:
        if not 0 <= integer(getattr(item, grade)) <= 3:
            return Refused(Reason.SHAPE, f"{grade} {getattr(item, grade)!r}; expected 0..3")
    if integer(item.style) < 0:
        return Refused(Reason.SHAPE, f"style {item.style!r}; expected a number from 0 on")
    return None


def _is_other_name(name: str, category_id: int) -> bool:
    """Whether ``name`` names another category, or none at all."""
    try:
        return category(name).name != CATEGORY_NAMES[category_id - 1]
    except KeyError:
        return True


def _numbers(item: Item) -> chain:
    return chain(item.landmarks, item.box, chain.from_iterable(item.polygons))


def _only_numbers(items: Sequence[Item], shaped: list[int], refused: dict[int, Refused]) -> list[int]:
    """Indices in ``shaped`` of items that hold only numbers; the others go to ``refused``."""
    if set(map(type, chain.from_iterable(_numbers(items[i]) for i in shaped))) <= _NUMERIC:
        return shaped
    kept = []
    for i in shaped:
        odd = next((v for v in _numbers(items[i]) if type(v) not in _NUMERIC), None)
        if set(map(type, _numbers(items[i]))) <= _NUMERIC:
            kept.append(i)
        else:
            refused[i] = Refused(Reason.SHAPE, f"{odd!r} among coordinates; expected numbers")
    return kept


def _flat(rows: Sequence[Sequence[float]]) -> Ragged:
    lengths = [len(r) for r in rows]
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite and is refused
        values = np.fromiter(chain.from_iterable(rows), np.float64, sum(lengths)).astype(np.float32)
    return Ragged.of(values, lengths)


def _columns(items: Sequence[Item], shaped: list[int]) -> CheckedGarments:
    kept = [items[i] for i in shaped]
    num_polygons = [len(item.polygons) for item in kept]
    landmarks = _flat([item.landmarks for item in kept])
    points = landmarks.values.reshape(-1, 3)
    labelled = points[:, 2] > 0
    points[(points[:, 2] == 0) & np.isfinite(points).all(axis=1)] = 0
    starts = landmarks.offsets[:-1] // 3
    return CheckedGarments(
        index=np.array(shaped, np.int64),
        category_id=np.array([item.category for item in kept], np.int8),
        box=_flat([item.box for item in kept]).values.reshape(-1, 4),
        landmarks=landmarks,
        num_labelled=np.add.reduceat(labelled, starts, dtype=np.int16)
        if kept
        else np.zeros(0, np.int16),
        **{grade: np.array([getattr(item, grade) for item in kept], np.int8) for grade in _GRADES},
        style=np.array([item.style for item in kept], np.int64),
        polygons=Ragged.of(np.zeros(sum(num_polygons)), num_polygons),
        polygon_points=_flat([polygon for item in kept for polygon in item.polygons]),
    )


def _value_problems(
    garments: CheckedGarments, items: list[Item], widths: np.ndarray, heights: np.ndarray
) -> dict[int, Refused]:
    """The first fault in the numbers of each faulty item, by its position in ``items``."""
    if not items:
        return {}
    points = garments.landmarks.values.reshape(-1, 3)
    starts = garments.landmarks.offsets[:-1] // 3
    owner = np.repeat(np.arange(len(items)), np.diff(garments.landmarks.offsets) // 3)
    x, y, v = points.T
    x1, y1, x2, y2 = garments.box.T
    polygon_owner = np.repeat(np.arange(len(items)), np.diff(garments.polygons.offsets))
    polygon_lengths = np.diff(garments.polygon_points.offsets)
    polygons_finite = np.isfinite(garments.polygon_points.values)
    broken_polygons = np.repeat(polygon_owner, polygon_lengths)[~polygons_finite]
    in_image = (v > 0) & (x >= -1) & (y >= -1) & (x <= widths[owner]) & (y <= heights[owner])
    finite = np.isfinite(points).all(axis=1)
    with np.errstate(invalid="ignore"):
        tests: list[tuple[Reason, Any]] = [
            (Reason.NOT_FINITE, ~np.logical_and.reduceat(finite, starts)),
            (Reason.NOT_FINITE, ~np.isfinite(garments.box).all(axis=1)),
            (Reason.NOT_FINITE, np.isin(np.arange(len(items)), broken_polygons)),
            (Reason.VISIBILITY, ~np.logical_and.reduceat(np.isin(v, (0, 1, 2)), starts)),
            (Reason.BOX, ~((x2 > x1) & (y2 > y1))),
            (Reason.SIZE, (x2 <= 0) | (y2 <= 0) | (x1 >= widths) | (y1 >= heights)),
            (Reason.SIZE, (garments.num_labelled > 0) & ~np.logical_or.reduceat(in_image, starts)),
        ]
    problems: dict[int, Refused] = {}
    for reason, bad in tests:
        for j in np.flatnonzero(bad).tolist():
            image = (int(widths[j]), int(heights[j]))
            problems.setdefault(j, Refused(reason, _describe(reason, items[j], image)))
    return problems


def _describe(reason: Reason, item: Item, image: tuple[int, int]) -> str:
    """The part of an item that failed for ``reason``, for the quarantine table."""
    names = CATEGORIES[item.category - 1].landmark_names
    triples = list(zip(*[iter(item.landmarks)] * 3, strict=True))
    if reason is Reason.BOX:
        return f"box {item.box}; expected x1 < x2 and y1 < y2"
    if reason is Reason.SIZE:
        return f"image {image[0]}x{image[1]}, box {item.box}: the garment lies outside"
    for number, (name, triple) in enumerate(zip(names, triples, strict=True), 1):
        fits = triple[2] in (0, 1, 2) if reason is Reason.VISIBILITY else _fits_float32(triple)
        if not fits:
            return f"landmark {number} {name}: {list(triple)}"
    return f"box {item.box}" if not _fits_float32(item.box) else "a polygon's point"


def _fits_float32(values: Sequence[float]) -> bool:
    limit = float(np.finfo(np.float32).max)
    return all(-limit <= v <= limit for v in values)


def _keep(garments: CheckedGarments, rows: np.ndarray) -> CheckedGarments:
    """The garments where ``rows`` is true."""
    if rows.all():
        return garments
    of_polygons = np.repeat(rows, np.diff(garments.polygons.offsets))
    kept: dict[str, Any] = {}
    for name in (f.name for f in fields(CheckedGarments)):
        column = getattr(garments, name)
        mask = of_polygons if name == "polygon_points" else rows
        kept[name] = column.keep(mask) if isinstance(column, Ragged) else column[mask]
    return CheckedGarments(**kept)
