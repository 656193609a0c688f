"""The points of fashion alignment: FLD's 8 landmarks by clothing type, and LSP's 14 joints.

An upper-body garment has 6 landmarks, a lower-body one 4, a full-body one all 8; in ``fld8`` each has
a fixed slot, so that one model can serve all three types. The rows of the CSV tables beside this file
are in the order of the data sets' files (FLD's README v1.1; LSP's joints.mat). "Left" is the viewer's
left on a garment seen from the front, as everywhere in this package; for LSP it is the person's or the
observer's left (``catalog.alignment.sources.lsp``). Links form a tree, the root first.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

import numpy as np

from fashion_ops.taxonomy.tables import read_table

Part = Literal["left", "right", "center"]
CLOTHES_TYPES = ("upper", "lower", "full")  # FLD's codes 1, 2, 3; 0 is a person (LSP)
_TYPE_OF_CATEGORY = (1,) * 6 + (2,) * 3 + (3,) * 4  # tops and outwear, bottoms, dresses
NUM_SLOTS = 8


@dataclass(frozen=True)
class PointSet:
    """The named points of a garment type or of a person.

    ``mirror`` (n,) is the permutation of indices that a horizontal flip applies; ``slots`` (n,) is the
    index of each point in ``fld8``, for a person its index in ``lsp14``.
    """

    name: str
    point_names: tuple[str, ...]
    mirror: np.ndarray
    parts: tuple[Part, ...]
    slots: np.ndarray
    links: tuple[tuple[int, int], ...]

    @property
    def num_points(self) -> int:
        return len(self.point_names)

    @cached_property
    def left(self) -> np.ndarray:
        """Indices of the left points; ``mirror[left]`` are their partners."""
        return np.flatnonzero(np.array(self.parts) == "left")

    @cached_property
    def right(self) -> np.ndarray:
        """Partners of ``left``, in its order."""
        return self.mirror[self.left]

    @cached_property
    def center(self) -> np.ndarray:
        """Indices of the points that a flip leaves where they are."""
        return np.flatnonzero(self.mirror == np.arange(self.num_points))


def _load(name: str) -> PointSet:
    rows = [r for r in read_table("alignment_points.csv") if r["set"] == name]
    names = tuple(r["name"] for r in rows)
    links = tuple(
        (names.index(r["from_name"]), names.index(r["to_name"]))
        for r in read_table("alignment_links.csv")
        if r["set"] == name
    )
    return PointSet(
        name=name,
        point_names=names,
        mirror=np.array([int(r["mirror_index"]) - 1 for r in rows]),
        parts=cast(tuple[Part, ...], tuple(r["part"] for r in rows)),
        slots=np.array([int(r["fld_slot"] or r["index"]) - 1 for r in rows]),
        links=links,
    )


POINT_SETS = {name: _load(name) for name in ("upper", "lower", "full", "fld8", "lsp14")}


def point_set(name: str) -> PointSet:
    """The point set of this name.

    Raises:
        KeyError: there is no such name; the message lists the known ones.
    """
    if name not in POINT_SETS:
        raise KeyError(f"unknown points {name!r}; known: {', '.join(POINT_SETS)}")
    return POINT_SETS[name]


def type_of_category(category_id: int) -> int:
    """FLD's clothes type of one of the 13 categories (id 1..13): 1 upper, 2 lower, 3 full."""
    return _TYPE_OF_CATEGORY[category_id - 1]


def points_of_type(clothes_type: int) -> PointSet:
    """The point set of FLD's clothes type 1 upper, 2 lower, 3 full; of LSP's people for 0.

    Raises:
        KeyError: there is no such type.
    """
    if clothes_type == 0:
        return POINT_SETS["lsp14"]
    if 1 <= clothes_type <= len(CLOTHES_TYPES):
        return POINT_SETS[CLOTHES_TYPES[clothes_type - 1]]
    raise KeyError(f"unknown clothes type {clothes_type}; expected 1 upper, 2 lower, 3 full, 0 person")
