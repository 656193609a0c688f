"""How many photos and garments a plan is for: those of the catalog, or of DeepFashion2."""

from collections.abc import Mapping
from dataclasses import dataclass

from fashion_ops.errors.reading import read_table
from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.workspace import Workspace

DEEPFASHION2 = "deepfashion2"
TRAIN_PHOTOS, VALIDATION_PHOTOS = 191_961, 32_153  # of DeepFashion2's release


@dataclass(frozen=True)
class DataSize:
    """Numbers of photos and garments.

    Attributes:
        name: what the numbers are of.
        train_photos: photos of the split ``train``.
        photos: photos of the split that ``evaluate`` takes.
        train_garments: garments of the split ``train`` by name of the category.
        garments: garments of the split that ``evaluate`` takes.
        alignment: garments that DFA trains on; 0 without an alignment catalog.
        gle: garments that GLE trains on; likewise.
    """

    name: str
    train_photos: int
    photos: int
    train_garments: Mapping[str, int]
    garments: int
    alignment: int = 0
    gle: int = 0

    @property
    def total(self) -> int:
        """Garments of the split ``train``."""
        return sum(self.train_garments.values())


def deepfashion2() -> DataSize:
    """The sizes of DeepFashion2 as released."""
    garments = {c.name: c.train_count for c in CATEGORIES}
    validation = sum(c.validation_count for c in CATEGORIES)
    return DataSize("DeepFashion2", TRAIN_PHOTOS, VALIDATION_PHOTOS, garments, validation)


def catalog_size(ws: Workspace, params: Params) -> DataSize:
    """The sizes of the catalog of a workspace.

    Raises:
        FileNotFoundError: there is no catalog.
    """
    garments = read_table(ws.catalog / "garments.parquet", columns=["split", "category_id"])
    photos = read_table(ws.catalog / "images.parquet", columns=["split"])["split"].value_counts()
    counts = garments.loc[garments["split"] == "train", "category_id"].value_counts()
    split = params.evaluate.split
    alignment, gle = (_aligned(ws, section.source) for section in (params.dfa_stage, params.train_gle))
    return DataSize(
        "the catalog",
        int(photos.get("train", 0)),
        int(photos.get(split, 0)),
        {c.name: int(counts.get(c.id, 0)) for c in CATEGORIES},
        int((garments["split"] == split).sum()),
        alignment,
        gle,
    )


def _aligned(ws: Workspace, source: str) -> int:
    """Number of training garments of an alignment catalog; 0 where there is none."""
    table = ws.alignment_catalog / source / "garments.parquet"
    if not table.is_file():
        return 0
    return int((read_table(table, columns=["split"])["split"] == "train").sum())
