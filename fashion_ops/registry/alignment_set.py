"""The frozen evaluation set of an alignment version: labelled garments and its predictions for them.

The registry keeps one with every version, as ``frozen_set`` does for the landmark pipeline. Two
versions are compared only on the same photos and labels, which the digest identifies by content.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentGarments, AlignmentLandmarks
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation.normalized_error import counted, errors
from fashion_ops.methods.alignment.prediction import PredictedLandmarks
from fashion_ops.taxonomy.alignment import NUM_SLOTS, points_of_type

FROZEN_SET = "alignment"  # folder among the artifacts of a version's run
_NAMES = ("garments", "predictions")
_COLUMNS = [
    *("garment_id", "image_id", "split", "item_id", "source", "clothes_type", "variation"),
    *("box", "landmarks", "file_name", "sha256"),
]


@dataclass(frozen=True)
class AlignmentSet:
    """Garments of one split, and what a model predicts for them.

    Attributes:
        garments: rows of the catalog with file name and hash of the photo.
        predictions: garment_id and landmarks (3 n: x, y, score), in the order of ``garments``.
    """

    garments: pd.DataFrame
    predictions: pd.DataFrame

    @classmethod
    def of_split(
        cls, catalog: AlignmentCatalog, split: str, predictions: pd.DataFrame | None = None
    ) -> "AlignmentSet":
        """The garments of a split of a catalog, with predictions; None takes their labels.

        Raises:
            ValueError: the split has no garments, or a garment has no prediction.
        """
        of_split = catalog.garments["split"] == split
        rows = catalog.garments[of_split & (catalog.garments["clothes_type"] > 0)]
        if rows.empty:
            raise ValueError(
                f"{catalog.folder}: no garments in split {split!r}; set register_alignment.split to "
                f"one of {', '.join(sorted(set(catalog.garments['split'])))}"
            )
        images = catalog.images[["image_id", "file_name", "sha256"]].reset_index(drop=True)
        garments = rows.reset_index(drop=True).merge(images, on="image_id", how="left")[_COLUMNS]
        garments = garments.sort_values(["file_name", "garment_id"]).reset_index(drop=True)
        own = cls(garments, garments[["garment_id", "landmarks"]])
        return own if predictions is None else own.predicted(predictions, str(catalog.folder))

    def predicted(self, predictions: pd.DataFrame, origin: str) -> "AlignmentSet":
        """The same garments with other predictions, which are put into their order.

        Raises:
            ValueError: a garment has none.
        """
        table = predictions[["garment_id", "landmarks"]].set_index("garment_id")
        missing = sorted(set(self.garments["garment_id"]) - set(table.index))
        if missing:
            raise ValueError(
                f"{origin}: {len(missing)} garments have no prediction, such as garment {missing[0]}; "
                "train the model on this catalog again"
            )
        kept = table.loc[self.garments["garment_id"]].reset_index()
        return AlignmentSet(self.garments, kept)

    def with_landmarks(self, landmarks: list[PredictedLandmarks]) -> "AlignmentSet":
        """The same garments with what a model predicts for them, in their order."""
        values = [p.landmarks.astype(np.float32).ravel() for p in landmarks]
        table = pd.DataFrame({"garment_id": self.garments["garment_id"], "landmarks": values})
        return AlignmentSet(self.garments, table)

    @property
    def rows(self) -> AlignmentLandmarks:
        """The labels as arrays, in eight slots."""
        return AlignmentGarments(self.garments, _no_image, Path(FROZEN_SET)).points()

    @property
    def errors(self) -> np.ndarray:
        """Normalised errors (N, 8) of the predictions."""
        rows = self.rows
        return errors(self.points, rows.xy, rows.box)

    @property
    def points(self) -> np.ndarray:
        """Predicted landmarks (N, 8, 2) in their slots, pixels of the images."""
        xy = np.zeros((len(self.garments), NUM_SLOTS, 2))
        types, landmarks = self.garments["clothes_type"].tolist(), self.predictions["landmarks"]
        for row, (code, values) in enumerate(zip(types, landmarks, strict=True)):
            xy[row, points_of_type(int(code)).slots] = np.reshape(values, (-1, 3))[:, :2]
        return xy

    @property
    def counted(self) -> np.ndarray:
        """Which landmarks count, bool (N, 8): the visible ones."""
        return counted(self.rows.visibility, "visible")

    def digest(self) -> str:
        """sha256 of photos and labels, in hexadecimal digits; ids do not count."""
        sha256 = hashlib.sha256()
        for column in ("file_name", "sha256", "clothes_type"):
            sha256.update("\0".join(map(str, self.garments[column])).encode() + b"\1")
        for column in ("box", "landmarks"):
            values = (np.asarray(v, np.float32).tobytes() for v in self.garments[column])
            sha256.update(b"".join(values) + b"\1")
        return sha256.hexdigest()

    def write(self, folder: Path) -> None:
        """Write the tables as parquet files into the new folder ``folder``."""
        folder.mkdir(parents=True)
        for name in _NAMES:
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)

    @classmethod
    def read(cls, folder: Path) -> "AlignmentSet":
        """Read what ``write`` wrote."""
        return cls(*(read_table(folder / f"{name}.parquet") for name in _NAMES))


def _no_image(image_id: int, shrink: int = 1) -> np.ndarray:
    raise LookupError(f"image {image_id}: a frozen set has no photos")
