"""The settings of a GLE training; ``configs/gle`` holds files of them, also at the paper's size."""

from typing import Annotated, Literal

from pydantic import Field

from fashion_ops.params import TrainingConfig

Stride8 = Annotated[int, Field(ge=8, multiple_of=8)]  # the backbone halves its input three times


class GLEConfig(TrainingConfig):
    """Network, targets, augmentation and optimisation. Defaults train on small images in seconds."""

    lr: float = Field(default=4e-3, gt=0)
    epochs: int = Field(default=16, ge=1)
    batch_size: int = Field(default=16, ge=1)
    backbone: str = Field(default="small", description="vgg16 as published, vgg16_bn, small, tiny")
    pretrained: str | None = Field(default=None, description="timm's weights, such as tv_in1k")
    modules: int = Field(default=2, ge=0, description="k; the paper: 2 on DeepFashion, 3 on FLD")
    warm_start: float = Field(
        default=0.25, ge=0, le=1, description="share of the run without the modules; 0 as published"
    )
    crop: tuple[Stride8, Stride8] = (48, 48)
    loss: Literal["mse", "cross_entropy"] = Field(
        default="cross_entropy", description="mse as published; see docs/decisions.md"
    )
    padding: float = Field(default=1.1, ge=1)
    radius: float = Field(default=8 / 224, gt=0, description="of the target cone, in sides of the crop")
    flip: float = Field(default=0.0, ge=0, le=1, description="released: 0 on DeepFashion")
    rotation: float = Field(default=0.0, ge=0, description="standard deviation, degrees")
    scale: float = Field(default=0.0, ge=0)
    shift: float = Field(default=0.0, ge=0)
    color: float = Field(default=0.1, ge=0)
    position_constraint: float = Field(default=0.0, ge=0, description="weight of PCLoss")
    position_constraint_k: int = Field(default=4, ge=1, description="hardest landmarks of a part")
    position_constraint_parts: Literal["sides", "whole"] = "sides"
