"""Where labelled photos come from, and what is made of their landmarks before anything is trained."""

from typing import Literal

from pydantic import Field

from fashion_ops.params.section import Section
from fashion_ops.taxonomy.grouping import GroupingName


class Synthesize(Section):
    """The synthetic wardrobe. ``images``: how many per split; 0 writes an empty wardrobe."""

    train: int = Field(default=3200, ge=0)
    validation: int = Field(default=520, ge=0)
    size: int = Field(default=256, ge=64, description="side of the square images, pixels")
    imbalance: float = Field(
        default=0.35, ge=0, le=1, description="exponent on DeepFashion2's category counts; 0 is uniform"
    )


class Ingest(Section):
    """Where labelled photos come from and how strict the door is."""

    source: Literal["deepfashion2", "coco"] = "deepfashion2"
    root: str = "data/raw"
    copy_images: bool = True
    shard_mb: int = Field(default=128, ge=1)
    max_quarantined: float = Field(default=0.01, ge=0, le=1)
    pair_ids: Literal["per_split", "global"] = Field(
        default="per_split", description="whether they restart in each split, as DeepFashion2's do"
    )


class Aggregate(Section):
    """Which landmarks share an output channel."""

    grouping: GroupingName = "agg81"


class PseudoLabel(Section):
    """DFA's pseudo-labels: k-means on landmark configurations. Temperature in 224-px units."""

    clusters: int = Field(default=20, ge=1)
    temperature: float = Field(default=20.0, gt=0)


AlignmentSource = Literal["fld", "category_attribute", "in_shop", "consumer_to_shop", "lsp"]


class SynthesizeAlignment(Section):
    """The wardrobe in the formats of alignment data: FLD, DeepFashion's other benchmarks, LSP."""

    train: int = Field(default=1500, ge=0, description="images of FLD and Category & Attribute")
    val: int = Field(default=200, ge=0)
    test: int = Field(default=200, ge=0)
    items: int = Field(default=60, ge=0, description="of In-shop and Consumer-to-shop, 5 photos each")
    people: int = Field(default=120, ge=0, description="of LSP; the first half trains")
    size: int = Field(default=128, ge=64, description="height of the images, pixels")


class IngestAlignment(Section):
    """Which alignment data sets come in, each from the folder of its name below ``root``."""

    root: str = "data/alignment/raw"
    sources: tuple[AlignmentSource, ...] = (
        *("fld", "category_attribute", "in_shop", "consumer_to_shop"),
        "lsp",
    )
    lsp_convention: Literal["observer", "person"] = Field(
        default="observer", description="whose left and right LSP's joints are named by"
    )
    copy_images: bool = True
    shard_mb: int = Field(default=128, ge=1)
    max_quarantined: float = Field(default=0.01, ge=0, le=1)
