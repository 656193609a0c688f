"""The frozen evaluation set of a version: images and labels it was evaluated on, and its predictions.

The registry keeps one with every version. Two versions may be compared only on the same images and
labels. The digest identifies them by content, because a new catalog may give other ids.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation.coco import coco_ids, detections, ground_truth
from fashion_ops.evaluation.instances import Detections, GroundTruth
from fashion_ops.methods.parts.hardware import Hardware, dump_hardware, read_hardware

HARDWARE = "hardware.json"
FROZEN_SET = "evaluation"  # folder among the artifacts of a version's run
VARIANT = "refined"  # the predictions that the gate compares
BOX_KINDS = ("truth_boxes", "own_boxes")
_IMAGES = ["image_id", "split", "coco_id", "file_name", "width", "height", "sha256"]
_GARMENTS = ["garment_id", "image_id", "category_id", "box", "landmarks"]


@dataclass(frozen=True)
class FrozenSet:
    """Images, labels and the refined predictions on them, as tables of ``catalog.schemas``.

    Attributes:
        images: one row per image.
        garments: one row per labelled garment.
        predictions: for each of ``BOX_KINDS`` a table with one row per predicted garment.
        hardware: that the predictions were made on; empty if it was not recorded.
    """

    images: pd.DataFrame
    garments: pd.DataFrame
    predictions: dict[str, pd.DataFrame]
    hardware: frozenset[Hardware] = frozenset()

    def digest(self) -> str:
        """sha256 of images and labels, in hexadecimal digits.

        Rows are sorted by the ids of the source (``coco_id``), so another catalog of the same data set
        gives the same digest. Of an image that stays outside of the catalog, and has no hash, only file
        name and size enter.
        """
        images = self.images.sort_values("coco_id")
        owner = pd.Series(coco_ids(self.images, self.garments), self.garments.index)
        labels = self.garments.assign(owner=owner).sort_values("owner", kind="stable")
        sha256 = hashlib.sha256()
        for column in ("coco_id", "file_name", "width", "height", "sha256"):
            sha256.update("\0".join(map(str, images[column])).encode() + b"\1")
        for column in ("owner", "category_id"):
            sha256.update(labels[column].to_numpy(np.int64).tobytes() + b"\1")
        for column in ("box", "landmarks"):
            values = (np.asarray(v, np.float32).tobytes() for v in labels[column])
            sha256.update(b"".join(values) + b"\1")
        return sha256.hexdigest()

    def ground_truth(self) -> GroundTruth:
        """The labelled garments as ground truth of the COCO evaluation."""
        return ground_truth(self.images, self.garments)

    def detections(self, kind: str) -> Detections:
        """The predictions on one of ``BOX_KINDS``, for the COCO evaluation."""
        return detections(self.predictions[kind], self.images)

    def write(self, folder: Path) -> None:
        """Write all tables as parquet files, and the hardware, into the new folder ``folder``."""
        folder.mkdir(parents=True)
        tables = {"images": self.images, "garments": self.garments, **self.predictions}
        for name, table in tables.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)
        (folder / HARDWARE).write_text(dump_hardware(self.hardware), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "FrozenSet":
        """Read what ``write`` wrote; older versions have no hardware."""
        names = ("images", "garments", *BOX_KINDS)
        tables = {name: read_table(folder / f"{name}.parquet") for name in names}
        predictions = {kind: tables[kind] for kind in BOX_KINDS}
        hardware = read_hardware(folder / HARDWARE)
        return cls(tables["images"], tables["garments"], predictions, hardware)

    @classmethod
    def of_split(
        cls,
        catalog: Catalog,
        split: str,
        predictions: dict[str, pd.DataFrame],
        hardware: frozenset[Hardware] = frozenset(),
    ) -> "FrozenSet":
        """The images and labels of a split of a catalog, with predictions on them."""
        images = catalog.images[catalog.images["split"] == split]
        garments = catalog.garments[catalog.garments["split"] == split]
        return cls(
            images[_IMAGES].reset_index(drop=True),
            garments[_GARMENTS].reset_index(drop=True),
            predictions,
            hardware,
        )


def read_predictions(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the refined predictions from a folder that ``evaluate`` wrote, by kind of boxes."""
    return {
        kind: read_table(folder / "predictions" / kind / f"{VARIANT}.parquet") for kind in BOX_KINDS
    }
