"""Parameters of CenterNet and its post-processing, of Cascade R-CNN and of Hybrid Task Cascade."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fashion_ops.params.section import (
    FREEZE,
    REAL_SHARE,
    Section,
    Stride32,
    TrainingConfig,
    check_frozen,
)
from fashion_ops.taxonomy.grouping import GroupingName


class TrainDetector(TrainingConfig):
    """CenterNet with landmarks. ``input_size``: side of the square network input, pixels."""

    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=16, ge=1)
    backbone: str = "small"
    neck_width: int | None = Field(
        default=None, ge=1, description="channels of the map that the heads read; None: the backbone's"
    )
    head_width: int | None = Field(
        default=None, ge=1, description="channels inside each head; None: the backbone's"
    )
    grouping: GroupingName | None = Field(
        default=None, description="of its landmark channels; None: that of `aggregate`"
    )
    input_size: Stride32 = 96
    pretrained: str | None = None
    freeze_backbone: bool = FREEZE
    start_from: str | None = Field(
        default=None,
        description="warm start: folder of a detector, shipped: that of the package, or a file of "
        "CenterNet's published weights",
    )
    real_share: float | None = REAL_SHARE
    center_radius: Literal["published", "corrected"] = "published"
    center_reach: int = Field(
        default=1, ge=0, description="cells around a centre that regress as it does; 0 as published"
    )
    category_weight: float = Field(
        default=1.0, ge=0, description="cross-entropy of categories at the centres; 0 as published"
    )
    flip: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=0.1, ge=0, description="log-scale, standard deviation")
    shift: float = Field(default=0.03, ge=0, description="share of the input, standard deviation")
    color: float = Field(default=0.1, ge=0, description="largest relative change of a channel")
    random_crop: bool = Field(
        default=False, description="CenterNet's crop of the original, in place of scale and shift"
    )
    jitter: float = Field(
        default=0.0, ge=0, lt=1, description="brightness, contrast, saturation; 0.4 as published"
    )
    lighting: float = Field(
        default=0.0, ge=0, description="noise along RGB's main axes, std; 0.1 as published"
    )
    position_constraint: float = Field(
        default=0.0, ge=0, description="weight of PCLoss on the displacements, squared cells"
    )
    position_constraint_k: int = Field(default=5, ge=1, description="hardest landmarks of a part")
    score_threshold: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _frozen_weights_are_trained(self) -> "TrainDetector":
        check_frozen(self.freeze_backbone, self.pretrained, self.start_from)
        return self


class PostProcess(Section):
    """Post-processing of the detector's maps at inference (DeepMark++ 3.2 and 4.2.1).

    The defaults are the paper's values for Hourglass-768; ``tune_postprocess`` finds those of a model.
    """

    smooth: bool = Field(default=True, description="technique 2: 3x3 Gaussian on the heatmaps")
    sigma_center: float = Field(default=0.45, ge=0, le=1, description="cells, of the centre maps")
    sigma_landmark: float = Field(default=0.9, ge=0, le=1, description="cells, of the landmark maps")
    mask: bool = Field(default=True, description="technique 4: maximum near the coarse position")
    blend: bool = Field(default=True, description="technique 3: blend with the coarse position")
    gamma: float = Field(default=0.75, ge=0, le=1, description="weight of the refined position")
    rescore: bool = Field(default=True, description="technique 1: mix in the landmarks' scores")
    alpha: float = Field(default=0.8, ge=0, le=1, description="weight of the centre's score")
    nms: Literal["none", "hard", "soft"] = "hard"
    flip: bool = Field(default=True, description="average with the mirrored image")
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(
        default=(), description="merge with detections at these sizes besides 1; 0.85, 0.95, 1.1"
    )


class TunePostprocess(Section):
    """Grid search of the four parameters of ``PostProcess`` (DeepMark++ 4.1).

    ``start`` gives the first values and everything that is not searched, such as the parameters of
    techniques that are off.
    """

    split: str = "validation"
    images: int = Field(default=200, ge=1, description="size of the subset, drawn by the seed")
    step: float = Field(default=0.05, gt=0, le=1, description="of each parameter, over 0..1")
    start: PostProcess = PostProcess()


class TrainBoxDetector(TrainingConfig):
    """Cascade R-CNN or Hybrid Task Cascade on whole images; ``kind`` None trains nothing.

    Images are resized so that their shorter side has ``short_side`` pixels, or their longer side
    ``long_side`` if it would become longer. The defaults fit the wardrobe on a CPU.
    """

    kind: Literal["cascade_rcnn", "htc"] | None = Field(
        default=None, description="None: boxes come from CenterNet or a file"
    )
    epochs: int = Field(default=6, ge=1)
    batch_size: int = Field(default=8, ge=1)
    backbone: str = "small"
    pretrained: str | None = Field(default=None, description="torchvision's name of the weights")
    short_side: int = Field(default=128, ge=32)
    long_side: int = Field(default=160, ge=32)
    smallest_anchor: int = Field(default=16, ge=1, description="side on the finest map, pixels")
    samples: int = Field(default=64, ge=4, description="boxes sampled from each image for each stage")
    short_sides: tuple[Annotated[int, Field(ge=32)], ...] = Field(
        default=(), description="training: one is drawn for each image; empty: short_side"
    )
    flip: float = Field(default=0.5, ge=0, le=1)
    test_short_sides: tuple[Annotated[int, Field(ge=32)], ...] = Field(
        default=(), description="multi-scale test: a view at each; empty: short_side"
    )
    flip_test: bool = Field(default=False, description="test on the mirrored image, too")
    score_threshold: float = Field(default=0.05, ge=0, le=1)
