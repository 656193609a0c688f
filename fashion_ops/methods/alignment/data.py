"""Training and evaluation data of the regression methods: crops with normalised landmarks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.methods.alignment.crops import Crops, frame_of, to_pixels
from fashion_ops.methods.parts.fingerprint import fingerprint
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, PointSet, point_set

JOINT = "all"  # one model for all clothing types
PERSON = "person"


@dataclass(frozen=True)
class Shapes:
    """Normalised landmarks of N garments.

    Attributes:
        positions: (N, n, 2); arbitrary where a landmark is not observed.
        visibility: (N, n), COCO's codes: 0 cut off or absent, 1 occluded, 2 visible.
        slots: bool (N, n), whether the garment's type has the landmark.
    """

    positions: np.ndarray
    visibility: np.ndarray
    slots: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def observed(self) -> np.ndarray:
        """Whether a landmark is visible or occluded, bool (N, n)."""
        return self.visibility > 0

    @property
    def labelled(self) -> np.ndarray:
        """Indices of the garments with at least one observed landmark."""
        return np.flatnonzero(self.observed.any(axis=1))

    def take(self, rows: np.ndarray) -> "Shapes":
        """Select garments by index, or by a boolean mask (N,)."""
        return Shapes(self.positions[rows], self.visibility[rows], self.slots[rows])


@dataclass(frozen=True)
class AlignmentData:
    """The garments that a model is trained on.

    Attributes:
        crops: of N garments.
        shapes: their landmarks, in the frame of the crops.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
    """

    crops: Crops
    shapes: Shapes
    mirror: np.ndarray


@dataclass(frozen=True)
class Split:
    """The garments of one split that one model is for.

    Attributes:
        rows: their landmarks in the catalog, in pixels of the images.
        points: names and mirror order of their landmarks.
        crops: their crops.
        shapes: their landmarks, normalised in the frame of the crops.
    """

    rows: AlignmentLandmarks
    points: PointSet
    crops: Crops
    shapes: Shapes

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def data(self) -> AlignmentData:
        """The crops and landmarks of the split, as training data."""
        return AlignmentData(self.crops, self.shapes, self.points.mirror)

    def to_pixels(self, positions: np.ndarray) -> np.ndarray:
        """Convert normalised positions (N, n, 2) to pixels of the images."""
        return frame_of(self.crops.frame, self.crops.windows).invert(positions.astype(np.float64))


def load_split(catalog: AlignmentCatalog, split: str, kind: str, options: Mapping[str, Any]) -> Split:
    """Read the garments of a split that one model is for.

    Args:
        catalog: of one source.
        split: one that the catalog has, such as ``train``.
        kind: ``all`` (three clothing types in FLD's 8 slots), one of the types, or ``person`` (LSP).
        options: of the crops, see ``crop_options``.

    Raises:
        ValueError: the split has no such garments.
    """
    if kind == JOINT:
        rows, points = catalog.points(split), point_set("fld8")
    else:
        rows = catalog.points(split, clothes_type=kind)
        points = point_set("lsp14" if kind == PERSON else kind)
    if not len(rows):
        raise ValueError(
            f"{catalog.folder}: no garments of kind {kind!r} in split {split!r}; the splits are "
            f"{', '.join(splits_of(catalog))}"
        )
    crops = Crops(rows.image_id, rows.box, catalog.image, **options)
    positions = frame_of(crops.frame, crops.windows).apply(rows.xy)
    return Split(rows, points, crops, Shapes(positions, rows.visibility, rows.present))


def splits_of(catalog: AlignmentCatalog) -> tuple[str, ...]:
    """List the splits that a catalog has, ``train`` and ``val`` first."""
    first = ("train", "val", "test")
    names = set(catalog.garments["split"].tolist())
    return tuple(sorted(names, key=lambda n: (first.index(n) if n in first else len(first), n)))


def kinds_of(catalog: AlignmentCatalog, per_type: bool) -> tuple[str, ...]:
    """List the kinds, as of ``load_split``, that a catalog needs a model for.

    Args:
        catalog: of one source; a catalog of persons needs ``person`` only.
        per_type: one kind for each clothing type in the catalog instead of ``all``.
    """
    types = sorted(set(catalog.garments["clothes_type"].tolist()))
    if types == [0]:
        return (PERSON,)
    return tuple(CLOTHES_TYPES[i - 1] for i in types) if per_type else (JOINT,)


class AlignmentSamples(Dataset[dict[str, Tensor]]):
    """Training samples: ``region`` (3, r, r), ``landmarks`` (m, 3) in its pixels and ``slots`` (n,).

    The region is the crop with its margin. With ``previous``, the n positions of the previous stage
    follow the n true landmarks (m = 2n), so that augmentation moves both alike.

    Args:
        crops: of all N garments.
        shapes: of all N garments.
        previous: (N, n, 2), normalised, or None.
        labels: pseudo-labels (N, K) that the previous stage predicts, which become ``labels``, or None.
            With them a marker follows the points: the middle of the right side, which a flip moves to
            the left.
        rows: indices of the garments to train on; None takes all.
    """

    def __init__(
        self,
        crops: Crops,
        shapes: Shapes,
        previous: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self.crops = crops
        self.rows = np.arange(len(crops)) if rows is None else rows
        points = np.where(shapes.observed[..., None], shapes.positions, 0.0)
        landmarks = np.concatenate([to_pixels(points, crops.size), shapes.visibility[..., None]], 2)
        if previous is not None:
            pixels = to_pixels(previous, crops.size)
            estimates = np.concatenate([pixels, np.ones((*pixels.shape[:2], 1))], 2)
            landmarks = np.concatenate([landmarks, estimates], 1)
        if labels is not None:
            right = [*to_pixels(np.array([0.5, 0.0]), crops.size), 1.0]
            marker = np.broadcast_to(right, (len(crops), 1, 3))
            landmarks = np.concatenate([landmarks, marker], 1)
        landmarks[..., :2] += crops.margin
        self.landmarks = torch.from_numpy(landmarks.astype(np.float32))
        self.labels = None if labels is None else torch.from_numpy(labels.astype(np.float32))
        self.slots = torch.from_numpy(np.ascontiguousarray(shapes.slots))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Load the samples at these positions as a batch, stacked along the first axis."""
        rows = self.rows[np.asarray(indices)]
        index = torch.from_numpy(rows)
        batch = {
            "region": self.crops.regions(rows),
            "landmarks": self.landmarks[index],
            "slots": self.slots[index],
        }
        return batch if self.labels is None else batch | {"labels": self.labels[index]}

    def fingerprint(self) -> str:
        """Hash everything that samples are made of but the photos' pixels."""
        crops = self.crops
        arrays = (self.rows, self.landmarks, self.slots, self.labels, crops.image_id, crops.windows)
        return fingerprint(crops.size, crops.margin, crops.frame, *arrays)
