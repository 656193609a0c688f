"""The images and garments that a table judges, and whether they are the paper's.

A number beside a paper's says something only if the reader knows that the images are others. A
catalog counts as DeepFashion2 if it holds as many garments of each category as the released set;
everything else is another data set, and a drawn part of the images is another set as well.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import Scores, score_landmarks
from fashion_ops.taxonomy import CATEGORIES
from papers.config import Request

_SLACK = 0.02  # of a category's garments that quarantine may have kept out of a released data set


@dataclass(frozen=True)
class Judged:
    """Images and garments of the judged split.

    ``name`` says what they are, in words; ``same``: they are the paper's own (all of DeepFashion2's
    validation split).
    """

    catalog: Catalog
    images: pd.DataFrame
    garments: pd.DataFrame
    name: str
    same: bool

    def landmarks(self, predictions: pd.DataFrame, max_detections: int) -> Scores:
        """Landmark AP of ``schemas.PREDICTIONS`` on these images."""
        truth = ground_truth(self.images, self.garments)
        found = detections(predictions, self.images)
        return score_landmarks(truth, found, max_detections=max_detections)

    def boxes(self, predictions: pd.DataFrame) -> Scores:
        """Box AP of ``schemas.PREDICTIONS`` on these images."""
        return score_boxes(self.images, self.garments, predictions)


def open_catalog(request: Request) -> Catalog:
    """The workspace's catalog.

    Raises:
        FileNotFoundError: there is none yet.
    """
    folder = request.ws.catalog
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(f"{folder}: no catalog here; `fashion-ops ingest` makes one")
    return Catalog(folder)


def load_judged(request: Request) -> Judged:
    """The judged split of the catalog, or as many of its images as were asked for.

    Raises:
        FileNotFoundError: there is no catalog yet.
        ValueError: the split has no garments.
    """
    catalog, split = open_catalog(request), request.params.evaluate.split
    images = catalog.images[catalog.images["split"] == split]
    whole = len(images)
    if request.images is not None and request.images < whole:
        rng = np.random.default_rng(request.params.seed)
        images = images.iloc[np.sort(rng.choice(whole, request.images, replace=False))]
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    if garments.empty:
        raise ValueError(f"{catalog.folder}: no garments on the images of split {split!r} to judge")
    kind = identify(catalog, Path(request.ws.root, request.params.ingest.root))
    part = f"{len(images)} of {whole}" if len(images) < whole else f"{whole}"
    name = f"{kind}, {part} {split} images with {len(garments)} garments"
    same = kind == "DeepFashion2" and len(images) == whole and split == "validation"
    return Judged(catalog, images, garments, name, same)


def identify(catalog: Catalog, root: Path) -> str:
    """What a catalog holds: DeepFashion2, the synthetic wardrobe, or another data set.

    Args:
        catalog: judged by its garments of each split and category.
        root: the raw data set; a wardrobe's manifest there must fit the catalog to count.
    """
    counts = catalog.garments.groupby(["split", "category_id"]).size()
    released = {("train", c.id): c.train_count for c in CATEGORIES}
    released |= {("validation", c.id): c.validation_count for c in CATEGORIES}
    if all(abs(int(counts.get(key, 0)) - n) <= _SLACK * n for key, n in released.items()):
        return "DeepFashion2"
    manifest = root / "wardrobe.json"
    if manifest.is_file():
        made = json.loads(manifest.read_text(encoding="utf-8"))["splits"]
        own = catalog.garments["split"].value_counts()
        if all(int(own.get(split, 0)) == made[split]["garments"] for split in made):
            return "synthetic wardrobe"
    return "a data set of your own"
