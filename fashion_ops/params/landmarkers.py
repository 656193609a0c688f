"""The universal landmarker, its 13 finetunings and the 13 refiners."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fashion_ops.params.section import Crop, Section, TrainingConfig


class TrainLandmarker(TrainingConfig):
    """Top-down HRNet on grouped landmarks, all 13 categories at once. Crop (width, height), pixels."""

    lr: float = Field(default=4e-3, gt=0)
    epochs: int = Field(default=7, ge=1)
    batch_size: int = Field(default=16, ge=1)
    backbone: str = "hrnet_w16_small"
    pretrained: str | None = None
    crop: Crop = (96, 128)
    padding: float = Field(default=1.25, ge=1)
    heatmap_sigma: float = Field(default=1.5, gt=0, description="heatmap cells")
    loss: Literal["mse", "cross_entropy"] = "cross_entropy"
    flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=15.0, ge=0, description="degrees, standard deviation")
    scale: float = Field(default=0.15, ge=0, description="log-scale, standard deviation")
    shift: float = Field(default=0.03, ge=0, description="share of the crop, standard deviation")
    color: float = Field(default=0.2, ge=0, description="largest relative change of a channel")
    balanced_sampling: bool = Field(
        default=False, description="draw categories with weight 1 / (share + 0.02), as the 3rd place"
    )
    channel_mask: bool = Field(
        default=False, description="a category's own maps only, in training and at test"
    )
    position_constraint: float = Field(
        default=0.0, ge=0, description="weight of PCLoss on integral coordinates, map sides squared"
    )
    position_constraint_k: int = Field(default=5, ge=1, description="hardest landmarks of a part")
    decode: Literal["argmax", "dark", "udp", "integral"] = Field(
        default="dark", description="argmax goes 0.25 cells on towards the higher neighbour"
    )
    flip_test: bool = True
    flip_shift: bool = Field(
        default=False, description="published HRNet's cells, and its 1-cell shift in the flip test"
    )
    pseudo_label_weight: float = Field(
        default=0.1, ge=0, description="alpha of DFA eq. 4; 0 leaves out the head of pseudo-labels"
    )
    pseudo_label_decay: tuple[float, float] = (0.33, 0.67)

    @model_validator(mode="after")
    def _no_shift_of_unbiased_cells(self) -> "TrainLandmarker":
        if self.decode == "udp" and self.flip_shift:
            raise ValueError(
                "flip_shift mends cells that lie askew in the mirror; UDP's don't: set it to false, or "
                "decode to argmax, dark or integral"
            )
        return self


class Finetune(Section):
    """What all 13 finetuning runs share; lr and epochs of each are in ``categories``."""

    batch_size: int = Field(default=16, ge=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    lr_drops: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="epochs after which lr falls to a tenth; none: one-cycle up to lr"
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="hflip train in the paper's Table 2")
    channels: Literal["grouping", "own"] = Field(
        default="grouping", description="own: only the category's output channels are kept"
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Refine(Section):
    """What all 13 PoseFix models share; lr and epochs of each are in ``categories``.

    Crop and padding are those of the landmarker that is refined. ``backbone``: ``landmarker`` starts
    from the finetuned landmarker, a ResNet is PoseFix as published.
    """

    backbone: Literal["landmarker", "resnet50", "resnet101", "resnet152"] = "landmarker"
    pretrained: str | None = None
    batch_size: int = Field(default=16, ge=1)
    weight_decay: float = Field(default=1e-5, ge=0)
    pose_sigma: float = Field(default=3.0, gt=0, description="input-pose Gaussian, crop pixels")
    own_outputs: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="share of poses from the landmarker itself; the rest synthetic",
    )
    flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=15.0, ge=0, description="degrees, standard deviation")
    scale: float = Field(default=0.1, ge=0, description="log-scale, standard deviation")
    shift: float = Field(default=0.03, ge=0, description="share of the crop, standard deviation")
    color: float = Field(default=0.2, ge=0, description="largest relative change of a channel")
    flip_test: bool = True
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class CategoryTraining(Section):
    """Learning rate and length of one category's run."""

    lr: float = Field(gt=0)
    epochs: int = Field(ge=1)


def finetune_config(shared: Finetune, run: CategoryTraining) -> TrainingConfig:
    """One category's finetuning as an optimisation run.

    Raises:
        ValueError: a drop that is not within the run.
    """
    ends = [0, *shared.lr_drops, run.epochs]
    steps = None
    if shared.lr_drops:
        if any(a >= b for a, b in pairwise(ends)):
            raise ValueError(
                f"finetune.lr_drops {list(shared.lr_drops)}: must rise, and end before the last epoch, "
                f"{run.epochs}"
            )
        steps = tuple((b - a, run.lr / 10**i) for i, (a, b) in enumerate(pairwise(ends)))
    return TrainingConfig(
        lr=run.lr,
        epochs=run.epochs,
        lr_steps=steps,
        batch_size=shared.batch_size,
        weight_decay=shared.weight_decay,
        precision=shared.precision,
    )


class CategorySettings(Section):
    """One category's finetuning and refinement."""

    finetune: CategoryTraining = CategoryTraining(lr=5e-4, epochs=4)
    refine: CategoryTraining = CategoryTraining(lr=2e-3, epochs=4)
