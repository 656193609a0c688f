"""The images and garments of one split of a catalog."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.reader import Catalog


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
