"""Sections of the steps that evaluate, register and promote models."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from fashion_ops.params.section import Section

DETECTOR, BOX_DETECTOR = "models/detector", "models/box_detector"  # values of `boxes`
CATALOG_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"  # a folder in data/also
CatalogName = Annotated[str, Field(pattern=f"^{CATALOG_NAME}$")]


class Evaluate(Section):
    """Evaluation of all models on one split.

    Landmarkers are evaluated twice: on ground-truth boxes and on the detected boxes from ``boxes``.
    """

    split: str = "validation"
    boxes: str = Field(
        default=DETECTOR,
        min_length=1,
        description="models/detector (CenterNet), models/box_detector, or a COCO results file",
    )
    max_detections: int = Field(default=20, ge=1)
    score: Literal["own", "all"] = Field(
        default="own",
        description="mean of the peaks above 0.2 (of own or of all channels) times the box score",
    )
    oks_nms: float | None = Field(
        default=None, gt=0, le=1, description="OKS above which the worse of two garments is removed"
    )
    ensemble: tuple[str, ...] = Field(
        default=(), description="folders of further model sets; landmarks and scores are averaged"
    )
    also: tuple[CatalogName, ...] = Field(
        default=(), description="names of further catalogs in data/also, such as real photos"
    )
    images: int = Field(default=12, ge=0, description="of each catalog, drawn in the report")
    min_gain: float = Field(
        default=0.0, ge=-1, le=1, description="AP by which refined must beat the mean shape"
    )

    @field_validator("also")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a catalog stands twice; name each once")
        return names


class Register(Section):
    """The MLflow registered model that holds all models of the chain."""

    model: str = "garment-landmarks"


class Promote(Section):
    """The gate between challenger and champion; AP of the refined landmarks, as fractions."""

    min_ap: float = Field(default=0.3, ge=0, le=1)
    min_box_ap: float = Field(default=0.3, ge=0, le=1)
    max_drop: float = Field(
        default=0.0, ge=0, description="largest drop of overall AP below the champion's"
    )
    max_likely_drop: float = Field(
        default=0.02, ge=0, description="likewise for the lower end of the confidence interval"
    )
    resamples: int = Field(
        default=1000, ge=100, description="bootstrap samples of the images, for that interval"
    )
    confidence: float = Field(default=0.95, gt=0, lt=1)
    max_category_drop: float = Field(
        default=0.05,
        ge=0,
        description="largest drop of AP of a category with category_garments or more",
    )
    category_garments: int = Field(
        default=100,
        ge=1,
        description="with fewer, n, the drop may be sqrt(category_garments / n) times larger",
    )
    max_pixel_difference: float = Field(
        default=1.0,
        ge=0,
        description="of 99 % of the landmarks predicted again on other hardware than evaluated",
    )
    max_ap_difference: float = Field(
        default=0.01, ge=0, le=1, description="likewise of AP, on the same garments"
    )
    max_latency_ratio: float = Field(
        default=1.5, gt=0, description="time of a photo over the champion's, both timed in turn"
    )
    max_latency_ms: float | None = Field(
        default=None, gt=0, description="budget of the median photo on this CPU; null: no budget"
    )
    latency_photos: int = Field(default=12, ge=1)
    max_size_mb: float = Field(default=1000.0, gt=0, description="of all models, 10^6 bytes")
