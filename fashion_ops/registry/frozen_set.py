"""The frozen evaluation shard of a version: images and labels it was judged on, and what it said.

Every version keeps its own in the registry. Two versions may be compared only on the same shard; the
digest tells, by the images' and labels' content, whatever ids a catalog gave them that day.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.coco import coco_ids, detections, ground_truth
from fashion_ops.evaluation.instances import Detections, GroundTruth

SHARD, CHECKS = "evaluation", "checks.json"  # records of a version
ROW = "refined"  # the predictions that the gate judges
KINDS = ("truth_boxes", "own_boxes")
_IMAGES = ["image_id", "split", "coco_id", "file_name", "width", "height", "sha256"]
_GARMENTS = ["garment_id", "image_id", "category_id", "box", "landmarks"]


@dataclass(frozen=True)
class Shard:
    """Images, labels, and refined predictions on them by kind of boxes; tables as in ``schemas``."""

    images: pd.DataFrame
    garments: pd.DataFrame
    predictions: dict[str, pd.DataFrame]

    def digest(self) -> str:
        """sha256 of images and labels, in the source's order.

        Of images left in place no hash is known: there it is by name and size.
        """
        images = self.images.sort_values("coco_id")
        owner = pd.Series(coco_ids(self.images, self.garments), self.garments.index)
        labels = self.garments.assign(owner=owner).sort_values("owner", kind="stable")
        whole = hashlib.sha256()
        for column in ("coco_id", "file_name", "width", "height", "sha256"):
            whole.update("\0".join(map(str, images[column])).encode() + b"\1")
        for column in ("owner", "category_id"):
            whole.update(labels[column].to_numpy(np.int64).tobytes() + b"\1")
        for column in ("box", "landmarks"):
            whole.update(b"".join(np.asarray(v, np.float32).tobytes() for v in labels[column]) + b"\1")
        return whole.hexdigest()

    def truth(self) -> GroundTruth:
        """The labels as ground truth."""
        return ground_truth(self.images, self.garments)

    def found(self, kind: str) -> Detections:
        """The predictions with one kind of boxes."""
        return detections(self.predictions[kind], self.images)

    def write(self, folder: Path) -> None:
        """Write all tables into a new folder."""
        folder.mkdir(parents=True)
        tables = {"images": self.images, "garments": self.garments, **self.predictions}
        for name, table in tables.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)

    @classmethod
    def read(cls, folder: Path) -> "Shard":
        """What ``write`` wrote."""
        tables = {n: pd.read_parquet(folder / f"{n}.parquet") for n in ("images", "garments", *KINDS)}
        return cls(tables["images"], tables["garments"], {kind: tables[kind] for kind in KINDS})


def shard_of(catalog: Catalog, split: str, predictions: dict[str, pd.DataFrame]) -> Shard:
    """The shard of a split of a catalog, with predictions on it."""
    images = catalog.images[catalog.images["split"] == split]
    garments = catalog.garments[catalog.garments["split"] == split]
    return Shard(
        images[_IMAGES].reset_index(drop=True), garments[_GARMENTS].reset_index(drop=True), predictions
    )


def read_evaluation(folder: Path) -> dict[str, pd.DataFrame]:
    """The judged predictions in a folder that ``evaluate`` wrote, by kind of boxes."""
    return {k: pd.read_parquet(folder / "predictions" / k / f"{ROW}.parquet") for k in KINDS}
