"""Which images of a catalog the synthetic wardrobe drew; all others are real photos.

The wardrobe leaves its manifest in the folder of what it drew. ``ingest`` finds it there, in
``ingest.root`` and in each accepted batch, and notes it in the catalog: an image belongs to the batch
that its path names, or else to the root.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.origin_names import WARDROBE, batch_of
from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_object

DRAWN = "drawn.json"  # in the catalog


def note_drawn(catalog: Path, root: Path, batches: Sequence[Path]) -> None:
    """Write into a catalog which of its data sets the wardrobe drew.

    Args:
        catalog: folder of the catalog.
        root: the data set ``ingest.root``.
        batches: folders of the accepted batches.
    """
    content = {
        "root": (root / WARDROBE).is_file(),
        "batches": [batch.name for batch in batches if (batch / WARDROBE).is_file()],
    }
    (catalog / DRAWN).write_text(json.dumps(content) + "\n", encoding="utf-8")


def are_real(catalog: Catalog, image_ids: np.ndarray) -> np.ndarray:
    """Which images (N,) are photos: bool (N,).

    Args:
        catalog: of the images.
        image_ids: of the images, or of the garments on them.

    Raises:
        FileNotFoundError: the catalog does not say which images were drawn.
    """
    path = catalog.folder / DRAWN
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: missing, so that photos cannot be told from drawn images; `fashion-ops ingest` "
            "makes it"
        )
    noted = read_object(path, "root", "batches")
    drawn = {*noted["batches"], *([""] if noted["root"] else [])}
    batch: pd.Series = catalog.images["file_name"].map(batch_of)
    return ~batch.isin(list(drawn)).loc[image_ids].to_numpy(bool)
