"""From the alignment catalog's rows to crops and normalised shapes; not a step itself."""

from dataclasses import dataclass

import numpy as np

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.methods.alignment.crops import Crops, FrameName, Shapes, frame_of
from fashion_ops.taxonomy.alignment import PointSet, point_set

JOINT = "all"  # one model for all clothing types
PERSON = "person"


@dataclass(frozen=True)
class Split:
    """One split's garments of one model: the catalog's rows and what a network takes."""

    rows: AlignmentLandmarks
    points: PointSet
    crops: Crops
    shapes: Shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def to_pixels(self, positions: np.ndarray) -> np.ndarray:
        """Normalised positions (N, n, 2) to pixels of the images."""
        return frame_of(self.crops.frame, self.rows.box).invert(positions.astype(np.float64))


def load_split(catalog: AlignmentCatalog, split: str, kind: str, size: int, frame: FrameName) -> Split:
    """The garments of a split that one model serves.

    Args:
        catalog: of one source.
        split: ``train``, ``val`` or ``test``.
        kind: ``all`` (three clothing types in FLD's 8 slots), one of the types, or ``person`` (LSP).
        size: of the crops, pixels.
        frame: of the positions.

    Raises:
        ValueError: the split has no such garments.
    """
    if kind == JOINT:
        rows, points = catalog.points(split), point_set("fld8")
    else:
        rows = catalog.points(split, clothes_type=kind)
        points = point_set("lsp14" if kind == PERSON else kind)
    if not len(rows):
        raise ValueError(f"{catalog.folder}: no garments of kind {kind!r} in split {split!r}")
    positions = frame_of(frame, rows.box).apply(rows.xy)
    shapes = Shapes(positions, rows.visibility, rows.present)
    return Split(rows, points, Crops(rows.image_id, rows.box, catalog.image, size, frame), shapes)


def kinds_of(catalog: AlignmentCatalog, per_type: bool) -> tuple[str, ...]:
    """The models of a catalog: one for all, one a clothing type that it has, or one for persons."""
    from fashion_ops.taxonomy.alignment import CLOTHES_TYPES

    found = sorted(set(catalog.garments["clothes_type"].tolist()))
    if found == [0]:
        return (PERSON,)
    return tuple(CLOTHES_TYPES[i - 1] for i in found) if per_type else (JOINT,)
