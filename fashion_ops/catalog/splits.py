"""The images and garments of one split of a catalog."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_table


@dataclass(frozen=True)
class Split:
    """The images of a split of ``catalog`` and the labelled garments on them."""

    catalog: Catalog
    images: pd.DataFrame
    garments: pd.DataFrame


def read_split(folder: Path, split: str) -> Split:
    """Read the images and garments of a split of a catalog.

    Raises:
        FileNotFoundError: there is no catalog.
        ValueError: it has no garments in this split.
    """
    catalog = Catalog(folder)
    images = catalog.images[catalog.images["split"] == split]
    garments = catalog.garments[catalog.garments["split"] == split]
    if garments.empty:
        there = ", ".join(sorted(catalog.garments["split"].unique())) or "none at all"
        raise ValueError(
            f"{folder}: no garments in split {split!r}; nothing to evaluate (garments are in: {there})"
        )
    return Split(catalog, images, garments)


def read_whole(folder: Path, split: str) -> Split:
    """Read a split of a catalog, or all of one that has a single other split.

    Raises:
        FileNotFoundError: there is no catalog.
        ValueError: it has several splits, and no garments in this one.
    """
    splits = read_table(folder / "garments.parquet", columns=["split"])["split"].unique()
    return read_split(folder, splits[0] if len(splits) == 1 else split)
