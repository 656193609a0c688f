"""Settings of the methods that predict the landmarks of one boxed garment, and of their versions."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fashion_ops.params.section import Section, TrainingConfig

Stride8 = Annotated[int, Field(ge=8, multiple_of=8)]  # GLE's backbone halves its input three times


class DfaStage(TrainingConfig):
    """DFA's cascade: the same settings for all three stages; DeepPose and IDPR take them too."""

    source: str = Field(default="fld", description="of the alignment catalog")
    epochs: int = Field(default=4, ge=1)
    batch_size: int = Field(default=16, ge=1)
    backbone: str = "small"
    pretrained: str | None = None
    start_from: str | None = Field(
        default=None, description="folder of another cascade, or file of a published VGG"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="after fc6 and fc7; 0.5 as published")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    input_size: int = Field(default=48, ge=16, description="side of the square crops, pixels")
    frame: Literal["letterbox", "box"] = "letterbox"
    padding: float = Field(
        default=1.2, ge=1, description="side of the crop over that of the box; 1 as published"
    )
    per_type: bool = Field(
        default=False, description="a model per clothing type; else one of 8 landmarks with a mask"
    )
    clusters: int = Field(default=20, ge=0, description="K of the pseudo-labels; 0 trains without")
    temperature: float = Field(default=20.0, gt=0, description="T of stage 1, 224-px units")
    visibility_weight: float = Field(default=0.1, ge=0, description="alpha of eq. 4")
    label_weight: float = Field(default=1.0, ge=0, description="beta of eq. 4")
    decay: tuple[float, float] = Field(default=(0.33, 0.67), description="t1 and t2 of eq. 4")
    decay_unit: Literal["share", "iterations"] = Field(
        default="share", description="of decay: shares of a network's run, or its iterations"
    )
    schedule: Literal["decaying", "as_printed"] = "decaying"
    inherit: bool = Field(
        default=True,
        description="stages 2 and 3 start from the weights of the stage before; else as stage 1 does",
    )
    label_input: bool = Field(
        default=False,
        description="stage 3 also takes stage 2's pseudo-labels as input (Table 5; not in the release)",
    )
    branches: Literal["routing", "average", "one"] = Field(
        default="routing", description="stage 3: easy or hard, the average of two, or one network"
    )
    epsilon: float | None = Field(
        default=None,
        ge=0,
        description="of auto-routing, normalised; 0.3 as published, null halves the garments",
    )
    flip: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=0.05, ge=0, description="log-scale, standard deviation")
    shift: float = Field(default=0.03, ge=0, description="share of the crop, standard deviation")
    color: float = Field(default=0.1, ge=0, description="largest relative change of a channel")
    position_constraint: float = Field(
        default=0.0, ge=0, description="weight of PCLoss on the positions, squared sides of the crop"
    )
    position_constraint_k: int = Field(default=4, ge=1, description="hardest landmarks of a part")
    position_constraint_parts: Literal["sides", "whole"] = "sides"

    @model_validator(mode="after")
    def _decay_fits_its_unit(self) -> "DfaStage":
        t1, t2 = self.decay
        if not 0 <= t1 <= t2:
            raise ValueError(f"decay is [{t1:g}, {t2:g}]: must be [t1, t2] with 0 <= t1 <= t2")
        if self.decay_unit == "share" and t2 > 1:
            raise ValueError(
                f"decay is [{t1:g}, {t2:g}]: shares are at most 1; for iterations set decay_unit to "
                "iterations"
            )
        return self


class GLEConfig(TrainingConfig):
    """GLE: network, targets, augmentation and optimisation; ``configs/gle`` holds files of these."""

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


class TrainGle(GLEConfig):
    """The step that trains GLE on an alignment catalog; crops so small that the demo stays short."""

    crop: tuple[Stride8, Stride8] = (32, 32)
    source: str = Field(default="fld", description="of the alignment catalog")
    start_from: str | None = Field(
        default=None, description="folder of another GLE model, or file of a published VGG"
    )


class RegisterAlignment(Section):
    """The MLflow registered model that holds an alignment model with its detector."""

    model: str = "garment-alignment"
    method: Literal["dfa", "gle"] = Field(default="dfa", description="of models/dfa or models/gle")
    split: str = Field(default="test", description="of the catalog that the method is trained on")


class PromoteAlignment(Section):
    """The gate between challenger and champion: NE of visible landmarks in labelled boxes."""

    max_ne: float = Field(default=0.2, gt=0, description="largest NE, in longer sides of the box")
    min_gain: float = Field(
        default=0.0, description="by which NE must be below that of the mean shape of each clothes type"
    )
    max_rise: float = Field(default=0.0, ge=0, description="largest NE above the champion's")
    max_likely_rise: float = Field(
        default=0.01, ge=0, description="likewise for the upper end of the confidence interval"
    )
    resamples: int = Field(
        default=1000, ge=100, description="bootstrap samples of the garments, for that interval"
    )
    confidence: float = Field(default=0.95, gt=0, lt=1)
    max_pixel_difference: float = Field(
        default=1.0, ge=0, description="of 99 % of the landmarks, predicted again, from the evaluated"
    )
    max_latency_ratio: float = Field(
        default=1.5, gt=0, description="time of a photo over the champion's, both timed in turn"
    )
    latency_photos: int = Field(default=12, ge=1)
    max_size_mb: float = Field(default=1000.0, gt=0, description="of all models, 10^6 bytes")
