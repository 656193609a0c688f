"""The images and garments that a table evaluates on, and whether they are the paper's.

A number beside a paper's says something only if the reader knows whether the images are the same. A
catalog counts as DeepFashion2 if it holds as many garments of each category as the released set;
everything else is another data set, and a drawn part of the images is another set as well.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.origin_names import WARDROBE
from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_object
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import Scores, score_landmarks
from fashion_ops.taxonomy import CATEGORIES
from papers.config import TableConfig

_SLACK = 0.02  # of a category's garments that quarantine may have kept out of a released data set


@dataclass(frozen=True)
class EvaluationSet:
    """Images and garments of the evaluation split.

    Attributes:
        catalog: of all splits.
        images: rows of the catalog's images.
        garments: rows of the catalog's garments on these images.
        name: what they are, in words.
        is_papers_data: whether they are all of DeepFashion2's validation split.
    """

    catalog: Catalog
    images: pd.DataFrame
    garments: pd.DataFrame
    name: str
    is_papers_data: bool

    def landmarks(self, predictions: pd.DataFrame, max_detections: int) -> Scores:
        """Landmark AP of ``schemas.PREDICTIONS`` on these images."""
        truth = ground_truth(self.images, self.garments)
        rows = detections(predictions, self.images)
        return score_landmarks(truth, rows, max_detections=max_detections)

    def boxes(self, predictions: pd.DataFrame) -> Scores:
        """Box AP of ``schemas.PREDICTIONS`` on these images."""
        return score_boxes(self.images, self.garments, predictions)

    def training_garments(self) -> pd.DataFrame:
        """The catalog's garments of split ``train``."""
        return self.catalog.garments[self.catalog.garments["split"] == "train"]


def open_catalog(config: TableConfig) -> Catalog:
    """Open the workspace's catalog.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
    """
    folder = config.ws.catalog
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(f"{folder}: no catalog here; `fashion-ops ingest` makes one")
    return Catalog(folder)


def load_evaluation_set(config: TableConfig) -> EvaluationSet:
    """The split ``evaluate.split`` of the catalog, or ``config.images`` of its images.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
        ValueError: the split has no garments.
    """
    catalog, split = open_catalog(config), config.params.evaluate.split
    images = catalog.images[catalog.images["split"] == split]
    whole = len(images)
    if config.images is not None and config.images < whole:
        rng = np.random.default_rng(config.params.seed)
        images = images.iloc[np.sort(rng.choice(whole, config.images, replace=False))]
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    if garments.empty:
        raise ValueError(f"{catalog.folder}: no garments on the images of split {split!r} to evaluate")
    kind = identify(catalog, Path(config.ws.root, config.params.ingest.root))
    part = f"{len(images)} of {whole}" if len(images) < whole else f"{whole}"
    name = f"{kind}, {part} {split} images with {len(garments)} garments"
    is_papers_data = kind == "DeepFashion2" and len(images) == whole and split == "validation"
    return EvaluationSet(catalog, images, garments, name, is_papers_data)


def identify(catalog: Catalog, root: Path) -> str:
    """Name a catalog's data set: DeepFashion2, the synthetic wardrobe, or another one.

    Args:
        catalog: compared by its number of garments of each split and category.
        root: the raw data set; the wardrobe's manifest there must agree with the catalog.
    """
    counts = catalog.garments.groupby(["split", "category_id"]).size()
    released = {("train", c.id): c.train_count for c in CATEGORIES}
    released |= {("validation", c.id): c.validation_count for c in CATEGORIES}
    if all(abs(int(counts.get(key, 0)) - n) <= _SLACK * n for key, n in released.items()):
        return "DeepFashion2"
    manifest = root / WARDROBE
    if manifest.is_file():
        splits = read_object(manifest)["splits"]
        by_split = catalog.garments["split"].value_counts()
        if all(int(by_split.get(split, 0)) == splits[split]["garments"] for split in splits):
            return "synthetic wardrobe"
    return "a data set of your own"
