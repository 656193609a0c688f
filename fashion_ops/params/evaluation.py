"""How models are judged, registered and promoted."""

from typing import Literal

from pydantic import Field

from fashion_ops.params.section import Section

DETECTOR, BOX_DETECTOR = "models/detector", "models/box_detector"  # `boxes` of a model


class Evaluate(Section):
    """Judging on the validation split; ``boxes``: the landmarkers' besides the ground truth."""

    split: str = "validation"
    boxes: str = Field(
        default=DETECTOR,
        min_length=1,
        description="where from: models/detector (CenterNet), models/box_detector, a COCO results file",
    )
    max_detections: int = Field(default=20, ge=1)
    score: Literal["own", "all"] = Field(
        default="own",
        description="mean of the peaks above 0.2, times the box score: own channels or all",
    )
    oks_nms: float | None = Field(
        default=None, gt=0, le=1, description="OKS above which the worse of two garments goes"
    )
    ensemble: tuple[str, ...] = Field(
        default=(), description="folders of further model sets; landmarks and scores are averaged"
    )
    pictures: int = Field(default=12, ge=0, description="validation images drawn in the report")
    min_gain: float = Field(
        default=0.0, ge=-1, le=1, description="AP by which refined must beat the mean shape"
    )


class Register(Section):
    """The MLflow model that holds everything."""

    model: str = "garment-landmarks"


class Promote(Section):
    """The gate between challenger and champion; AP of the refined landmarks, as fractions."""

    min_ap: float = Field(default=0.3, ge=0, le=1)
    min_box_ap: float = Field(default=0.3, ge=0, le=1)
    max_drop: float = Field(
        default=0.0, ge=0, description="overall AP may fall this much below the champion's"
    )
    max_likely_drop: float = Field(
        default=0.02, ge=0, description="so may the lower end of the interval of the difference"
    )
    resamples: int = Field(default=1000, ge=100, description="of the images, for that interval")
    confidence: float = Field(default=0.95, gt=0, lt=1)
    max_category_drop: float = Field(
        default=0.05, ge=0, description="of a category with category_garments or more"
    )
    category_garments: int = Field(
        default=100, ge=1, description="fewer n widen it by sqrt(category_garments / n)"
    )
    max_latency_ms: float = Field(default=2000.0, gt=0, description="median photo, on the CPU")
    latency_photos: int = Field(default=12, ge=1)
    max_size_mb: float = Field(default=1000.0, gt=0, description="of all models, 10^6 bytes")
