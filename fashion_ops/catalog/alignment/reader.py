"""Reading an alignment catalog: its tables, its images, and its landmarks as arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_table
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, NUM_SLOTS, points_of_type

# The five test subsets of FLD (DFA, Table 3) and their codes.
SUBSETS = {
    "normal_pose": 1,
    "medium_pose": 2,
    "large_pose": 3,
    "medium_zoom_in": 4,
    "large_zoom_in": 5,
}


@dataclass(frozen=True)
class AlignmentLandmarks:
    """Boxes and landmarks of N garments as arrays.

    n is the number of landmarks of the clothing type, or 8 where types are mixed. ``xy`` (N, n, 2),
    pixels of the image, is 0 where ``visibility`` (N, n), COCO's, is 0. ``present`` (N, n) says whether
    garments of this type have the landmark at all. ``box`` (N, 4) is x1, y1, x2, y2.
    """

    garment_id: np.ndarray
    image_id: np.ndarray
    item_id: np.ndarray
    clothes_type: np.ndarray
    variation: np.ndarray
    box: np.ndarray
    xy: np.ndarray
    visibility: np.ndarray
    present: np.ndarray

    def __len__(self) -> int:
        return len(self.garment_id)

    @property
    def observed(self) -> np.ndarray:
        """Landmarks that have a position, visible or occluded: bool (N, n)."""
        return self.visibility > 0

    @property
    def state(self) -> np.ndarray:
        """DFA's classes: 0 visible, 1 occluded, 2 not in the image; int64 (N, n)."""
        return 2 - self.visibility.astype(np.int64)

    def take(self, rows: np.ndarray) -> "AlignmentLandmarks":
        """The garments at the indices ``rows``, or where the boolean ``rows`` is true."""
        return AlignmentLandmarks(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def subset(self, name: str) -> np.ndarray:
        """Which garments are in a subset: bool (N,). Raises KeyError for a name not in ``SUBSETS``."""
        if name not in SUBSETS:
            raise KeyError(f"unknown subset {name!r}; known: {', '.join(SUBSETS)}")
        return self.variation == SUBSETS[name]


class AlignmentCatalog(Catalog):
    """Reads one data set written by ``ingest_alignment``; images as in ``Catalog``."""

    @cached_property
    def attributes(self) -> pd.DataFrame:
        """``attributes.parquet``: the attributes, in the order of the garments' attribute lists."""
        return read_table(self.folder / "attributes.parquet")

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """``pairs.parquet``: consumer and shop images of one item (Consumer-to-shop)."""
        return read_table(self.folder / "pairs.parquet")

    def points(
        self, split: str | Sequence[str] | None = None, clothes_type: str | None = None
    ) -> AlignmentLandmarks:
        """Landmarks as arrays, in the order of garment_id.

        Args:
            split: one or several; None takes all.
            clothes_type: upper, lower, full or person, each with its number of landmarks; None takes
                all garments of FLD's three types, each in 8 slots.

        Raises:
            KeyError: there is no such clothes type.
        """
        table = self.garments
        if split is not None:
            table = table[table["split"].isin([split] if isinstance(split, str) else list(split))]
        if clothes_type is None:
            table = table[table["clothes_type"] > 0]
            return _points(table, NUM_SLOTS, slots=True)
        types = dict(zip(("person", *CLOTHES_TYPES), range(len(CLOTHES_TYPES) + 1), strict=True))
        if clothes_type not in types:
            raise KeyError(f"unknown clothes type {clothes_type!r}; known: {', '.join(types)}")
        code = types[clothes_type]
        return _points(
            table[table["clothes_type"] == code], points_of_type(code).num_points, slots=False
        )


class AlignmentGarments(AlignmentCatalog):
    """The garments of an alignment catalog as values, for a machine without the catalog's files.

    Args:
        garments: ``garments.parquet``, see ``Catalog.garments``.
        read_image: image id, and how much smaller, to RGB uint8 (H, W, 3).
        folder: of the catalog, for messages.
    """

    def __init__(
        self, garments: pd.DataFrame, read_image: Callable[..., np.ndarray], folder: Path
    ) -> None:
        super().__init__(folder)
        self.garments = garments
        self._read_image = read_image

    def image(self, image_id: int, shrink: int = 1) -> np.ndarray:
        """An image as RGB uint8 (H, W, 3), smaller by the factor ``shrink``."""
        return self._read_image(image_id, shrink)


def _points(table: pd.DataFrame, count: int, slots: bool) -> AlignmentLandmarks:
    """Rows of garments.parquet as arrays of ``count`` landmarks, each in its slot or in its order."""
    kinds = table["clothes_type"].to_numpy(np.int64)
    xy = np.zeros((len(table), count, 2))
    visibility = np.zeros((len(table), count), np.int8)
    present = np.zeros((len(table), count), bool)
    landmarks = table["landmarks"].to_numpy()
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        points = points_of_type(int(kind))
        columns = points.slots if slots else np.arange(count)
        values = np.stack(list(landmarks[rows])).reshape(len(rows), points.num_points, 3)
        at = np.ix_(rows, columns)
        xy[at], visibility[at], present[at] = values[..., :2], values[..., 2], True
    boxes = [np.asarray(box, np.float64) for box in table["box"]]
    return AlignmentLandmarks(
        table["garment_id"].to_numpy(np.int64),
        table["image_id"].to_numpy(np.int64),
        table["item_id"].to_numpy(object),
        kinds,
        table["variation"].to_numpy(np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        xy,
        visibility,
        present,
    )
