"""Sections of the data steps: sources of labelled photos, groupings and pseudo-labels of landmarks."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from fashion_ops.params.section import Section
from fashion_ops.taxonomy.grouping import GroupingName


class Synthesize(Section):
    """The synthetic wardrobe."""

    train: int = Field(default=3200, ge=0, description="images of the split; may be 0")
    validation: int = Field(default=520, ge=0, description="images of the split; may be 0")
    size: int = Field(default=256, ge=64, description="longer side of the images, pixels")
    imbalance: float = Field(
        default=0.35, ge=0, le=1, description="exponent on DeepFashion2's category counts; 0 is uniform"
    )
    edition: Literal[1, 2] = Field(
        default=1, description="1: clean square drawings; 2: framed, lit and cluttered as photos are"
    )
    backgrounds: str | None = Field(
        default=None, description="folder of photos that edition 2 also cuts backgrounds from"
    )
    fabrics: str | None = Field(
        default=None, description="folder of photos that edition 2 also cuts cloth from"
    )

    @model_validator(mode="after")
    def _photos_are_for_the_second_edition(self) -> "Synthesize":
        for key in ("backgrounds", "fabrics"):
            if self.edition == 1 and getattr(self, key) is not None:
                raise ValueError(f"edition 1 uses no photos: {key} must be null, or edition 2")
        return self


class Ingest(Section):
    """The source of labelled photos, and how many invalid records are tolerated."""

    source: Literal["deepfashion2", "coco"] = "deepfashion2"
    root: str = "data/raw"
    copy_images: bool = True
    shard_mb: int = Field(default=128, ge=1)
    max_quarantined: float = Field(default=0.01, ge=0, le=1, description="share of the records")
    pair_ids: Literal["per_split", "global"] = Field(
        default="per_split", description="whether they restart in each split, as DeepFashion2's do"
    )


class Aggregate(Section):
    """Which landmarks share an output channel."""

    grouping: GroupingName = "agg81"


class PseudoLabel(Section):
    """DFA's pseudo-labels: k-means on landmark configurations."""

    clusters: int = Field(default=20, ge=1, description="per category")
    temperature: float = Field(default=20.0, gt=0, description="of the soft labels, 224-px units")


AlignmentSource = Literal["fld", "category_attribute", "in_shop", "consumer_to_shop", "lsp"]


class SynthesizeAlignment(Section):
    """The wardrobe in the formats of FLD, DeepFashion's other benchmarks and LSP."""

    train: int = Field(default=1500, ge=0, description="images of FLD and Category & Attribute")
    val: int = Field(default=200, ge=0)
    test: int = Field(default=200, ge=0)
    items: int = Field(default=60, ge=0, description="of In-shop and Consumer-to-shop, 5 photos each")
    people: int = Field(default=120, ge=0, description="of LSP; the first half trains")
    size: int = Field(default=128, ge=64, description="height of the images, pixels")


class IngestAlignment(Section):
    """The alignment data sets to ingest, each from the folder of its name below ``root``."""

    root: str = "data/alignment/raw"
    sources: tuple[AlignmentSource, ...] = get_args(AlignmentSource)
    lsp_convention: Literal["observer", "person"] = Field(
        default="observer", description="whose left and right LSP's joints have in their names"
    )
    copy_images: bool = True
    shard_mb: int = Field(default=128, ge=1)
    max_quarantined: float = Field(default=0.01, ge=0, le=1)
