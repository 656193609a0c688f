"""Sections of the universal landmarker, of its finetuning by category, and of the refiners."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fashion_ops.params.section import (
    CLIP,
    FREEZE,
    REAL_SHARE,
    Crop,
    Section,
    TrainingConfig,
    check_frozen,
)

Side = Annotated[
    float,
    Field(ge=0, lt=1, description="of the side that is cut: N(1, scale), clipped to 1 +- scale"),
]
Rotated = Annotated[float, Field(ge=0, le=1, description="share of the crops that are rotated")]
Shares = tuple[Annotated[float, Field(gt=0, lt=1)], ...]
PRIOR = Field(
    default=True,
    description="landmarks are the mean given a shape prior of the training labels, with deviations",
)


class TrainLandmarker(TrainingConfig):
    """The top-down network on grouped landmarks, for all categories; crop (width, height) in pixels."""

    lr: float = Field(default=4e-3, gt=0)
    epochs: int = Field(default=7, ge=1)
    batch_size: int = Field(default=16, ge=1)
    backbone: str = "hrnet_w16_small"
    pretrained: str | None = None
    freeze_backbone: bool = FREEZE
    start_from: str | None = Field(
        default=None, description="warm start: folder of a landmarker, or shipped: that of the package"
    )
    head: Literal["heatmap", "simcc", "rle"] = Field(
        default="heatmap",
        description="heatmap_sigma, loss, decode, smooth and flip_shift are of heatmaps only",
    )
    crop: Crop = (96, 128)
    padding: float = Field(default=1.25, ge=1)
    heatmap_sigma: float = Field(default=1.5, gt=0, description="heatmap cells")
    loss: Literal["mse", "cross_entropy"] = "cross_entropy"
    flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=15.0, ge=0, description="degrees, standard deviation")
    rotation_probability: Rotated = 0.6
    scale: Side = 0.15
    shift: float = Field(default=0.03, ge=0, description="share of the crop, standard deviation")
    color: float = Field(default=0.2, ge=0, description="largest relative change of a channel")
    balanced_sampling: bool = Field(
        default=False, description="draw categories with weight 1 / (share + 0.02), as the 3rd place"
    )
    real_share: float | None = REAL_SHARE
    channel_mask: bool = Field(
        default=False, description="only the maps of the garment's category, in training and prediction"
    )
    position_constraint: float = Field(
        default=0.0, ge=0, description="weight of PCLoss on integral coordinates, map sides squared"
    )
    position_constraint_k: int = Field(
        default=5, ge=1, description="number of worst landmarks of a part that count"
    )
    decode: Literal["argmax", "dark", "udp", "integral"] = Field(
        default="dark", description="argmax goes 0.25 cells on towards the higher neighbour"
    )
    smooth: bool = Field(
        default=True,
        description="dark and udp smooth the maps by a Gaussian of heatmap_sigma, as published",
    )
    flip_test: bool = True
    flip_shift: bool = Field(
        default=False, description="cells of the published HRNet, and its 1-cell shift in the flip test"
    )
    decode_prior: bool = PRIOR
    pseudo_label_weight: float = Field(
        default=0.1, ge=0, description="alpha of DFA eq. 4; 0 leaves out the head of pseudo-labels"
    )
    pseudo_label_decay: tuple[float, float] = (0.33, 0.67)
    held_out: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the training images that no landmark network learns from, finetuned and "
        "refined ones included: evaluate fits the temperature of their scores on them; 0 fits none",
    )

    @model_validator(mode="after")
    def _frozen_weights_are_trained(self) -> "TrainLandmarker":
        check_frozen(self.freeze_backbone, self.pretrained, self.start_from)
        return self

    @model_validator(mode="after")
    def _no_shift_of_unbiased_cells(self) -> "TrainLandmarker":
        if self.decode == "udp" and self.flip_shift:
            raise ValueError(
                "flip_shift corrects cells that are not symmetric under a mirror; those of UDP are: "
                "set it to false, or decode to argmax, dark or integral"
            )
        return self


class Finetune(Section):
    """What the finetuning runs of all categories share; ``categories`` has lr and epochs of each."""

    batch_size: int = Field(default=16, ge=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_gradients: float | None = CLIP
    lr_drops: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="epochs after which lr falls to a tenth; none: one-cycle up to lr"
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="hflip train in the paper's Table 2")
    channels: Literal["grouping", "own"] = Field(
        default="grouping", description="own: only the category's output channels are kept"
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Refine(Section):
    """What the PoseFix runs of all categories share; ``categories`` has lr and epochs of each.

    Crop and padding are those of the landmarker that is refined. ``backbone``: ``landmarker`` starts
    from the weights of the finetuned landmarker, a ResNet is PoseFix as published. ``box``: what is
    refined at test is cut around the garment's box, or, as published, around 1.2 times the tight box of
    its landmarks; training always takes the garment's box.
    """

    backbone: Literal["landmarker", "resnet50", "resnet101", "resnet152"] = "landmarker"
    pretrained: str | None = None
    batch_size: int = Field(default=16, ge=1)
    weight_decay: float = Field(default=1e-5, ge=0)
    clip_gradients: float | None = CLIP
    lr_drops: Shares = Field(
        default=(),
        description="shares of a run after which lr falls to a tenth; none: one-cycle up to lr",
    )
    box: Literal["garment", "pose"] = "garment"
    pose_sigma: float = Field(default=3.0, gt=0, description="input-pose Gaussian, crop pixels")
    own_outputs: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="share of input poses predicted by the landmarker; the rest synthetic",
    )
    error_rates: Literal["measured", "published"] = Field(
        default="measured",
        description="of synthetic errors: those of the refined model on its training garments, or "
        "PoseFix's",
    )
    flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=15.0, ge=0, description="degrees, standard deviation")
    rotation_probability: Rotated = 0.6
    scale: Side = 0.1
    shift: float = Field(default=0.03, ge=0, description="share of the crop, standard deviation")
    color: float = Field(default=0.2, ge=0, description="largest relative change of a channel")
    flip_test: bool = True
    decode_prior: bool = PRIOR
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _drops_rise(self) -> "Refine":
        if any(a >= b for a, b in pairwise(self.lr_drops)):
            raise ValueError(f"lr_drops {list(self.lr_drops)}: must rise")
        return self


class CategoryTraining(Section):
    """Learning rate and length of the run of one category."""

    lr: float = Field(gt=0)
    epochs: int = Field(ge=1)


class CategorySettings(Section):
    """Finetuning and refinement of one category."""

    finetune: CategoryTraining = CategoryTraining(lr=5e-4, epochs=4)
    refine: CategoryTraining = CategoryTraining(lr=2e-3, epochs=4)
