"""The parameters of every step: ``params.yaml`` as typed models, one class a section.

Unknown keys are errors. Defaults are those of the demo (synthetic wardrobe, two cores, ten minutes);
``configs/deepfashion2.yaml`` holds the paper-size values. DVC watches the same file section by
section, so a section holds exactly what changes the result of its step; what only says how a step is
carried out (workers, GPUs, addresses) stands in ``fleet``, and what happens by itself in ``retrain``,
``inbox`` and ``notify``: no stage watches those.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.taxonomy.grouping import GroupingName

Stride32 = Annotated[int, Field(ge=32, multiple_of=32)]  # HRNet halves its input five times
Crop = tuple[Stride32, Stride32]
DETECTOR, BOX_DETECTOR = "detector", "box_detector"  # whose boxes ``Evaluate.boxes`` takes


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Synthesize(Section):
    """The synthetic wardrobe. ``images``: how many per split; 0 writes an empty wardrobe."""

    train: int = Field(default=3200, ge=0)
    validation: int = Field(default=520, ge=0)
    size: int = Field(default=256, ge=64, description="side of the square pictures, pixels")
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


class Fit(Section):
    """One optimisation run: AdamW (Adam, where ``weight_decay`` is 0), one-cycle or stepped."""

    lr: float = Field(default=2e-3, gt=0)
    lr_steps: tuple[tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0)]], ...] | None = (
        Field(default=None, description="[epochs, lr] one after the other; null is one-cycle up to lr")
    )
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=1, description="of all devices together")
    weight_decay: float = Field(default=1e-4, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _steps_fill_the_run(self) -> "Fit":
        if self.lr_steps is None:
            return self
        total = sum(epochs for epochs, _ in self.lr_steps)
        if total != self.epochs:
            raise ValueError(f"lr_steps last {total} epochs, epochs is {self.epochs}: must be equal")
        if self.lr_steps[0][1] != self.lr:
            raise ValueError(
                f"lr_steps start with {self.lr_steps[0][1]}, lr is {self.lr}: must be equal"
            )
        return self


class TrainDetector(Fit):
    """CenterNet with keypoints. ``input_size``: side of the square network input, pixels."""

    epochs: int = Field(default=14, ge=1)
    batch_size: int = Field(default=16, ge=1)
    backbone: str = "small"
    neck_width: int | None = Field(
        default=None, ge=1, description="channels of the map that the heads read; None: the backbone's"
    )
    head_width: int | None = Field(
        default=None, ge=1, description="channels inside each head; None: the backbone's"
    )
    input_size: Stride32 = 96
    pretrained: str | None = None
    start_from: str | None = Field(
        default=None, description="folder of a detector whose fitting weights start the run"
    )
    center_radius: Literal["published", "corrected"] = "published"
    center_reach: int = Field(
        default=1, ge=0, description="cells around a centre that learn as it does; 0 as published"
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
        default=0.0, ge=0, description="noise along RGB's main axes, deviation; 0.1 as published"
    )
    position_constraint: float = Field(
        default=0.0, ge=0, description="weight of PCLoss on the displacements, squared cells"
    )
    position_constraint_k: int = Field(default=5, ge=1, description="hardest landmarks of a part")
    score_threshold: float = Field(default=0.05, ge=0, le=1)


class PostProcess(Section):
    """What is done with the detector's maps at inference (DeepMark++ 3.2 and 4.2.1).

    The numbers are the paper's for Hourglass-768; ``tune_postprocess`` finds a given model's own.
    """

    smooth: bool = Field(default=True, description="technique 2: 3x3 Gaussian on the heatmaps")
    sigma_center: float = Field(default=0.45, ge=0, le=1, description="cells, of the centre maps")
    sigma_landmark: float = Field(default=0.9, ge=0, le=1, description="cells, of the landmark maps")
    mask: bool = Field(default=True, description="technique 4: largest value near the coarse position")
    blend: bool = Field(default=True, description="technique 3: between refined and coarse position")
    gamma: float = Field(default=0.75, ge=0, le=1, description="weight of the refined position")
    rescore: bool = Field(default=True, description="technique 1: landmark scores enter the score")
    alpha: float = Field(default=0.8, ge=0, le=1, description="weight of the centre's own score")
    nms: Literal["none", "hard", "soft"] = "hard"
    flip: bool = Field(default=True, description="average with the mirrored picture")
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(
        default=(), description="fuse with the picture at these sizes besides 1; 0.85, 0.95, 1.1"
    )


class TunePostprocess(Section):
    """Grid search of the four parameters of ``PostProcess`` (DeepMark++ 4.1).

    ``start``: where it starts, and what it leaves as it is. A switched-off technique isn't searched.
    """

    split: str = "validation"
    pictures: int = Field(default=200, ge=1, description="size of the subset, drawn by the seed")
    step: float = Field(default=0.05, gt=0, le=1, description="of each parameter, over 0..1")
    start: PostProcess = PostProcess()


class TrainBoxDetector(Fit):
    """Cascade R-CNN or Hybrid Task Cascade on whole pictures; ``kind`` None trains nothing.

    Sides in pixels: pictures are resized to ``short_side``, unless the longer side became longer than
    ``long_side``. The defaults fit the wardrobe on a CPU.
    """

    kind: Literal["cascade_rcnn", "htc"] | None = Field(
        default=None, description="None: the boxes are CenterNet's or come from elsewhere"
    )
    epochs: int = Field(default=6, ge=1)
    batch_size: int = Field(default=8, ge=1)
    backbone: str = "small"
    pretrained: str | None = Field(default=None, description="torchvision's name of the weights")
    short_side: int = Field(default=128, ge=32)
    long_side: int = Field(default=160, ge=32)
    smallest_anchor: int = Field(default=16, ge=1, description="side on the finest map, pixels")
    samples: int = Field(default=64, ge=4, description="boxes a picture and stage")
    short_sides: tuple[Annotated[int, Field(ge=32)], ...] = Field(
        default=(), description="training: one drawn for each picture; empty: short_side"
    )
    flip: float = Field(default=0.5, ge=0, le=1)
    test_short_sides: tuple[Annotated[int, Field(ge=32)], ...] = Field(
        default=(), description="multi-scale test: a look at each; empty: short_side"
    )
    flip_test: bool = Field(default=False, description="look at the mirrored picture too")
    score_threshold: float = Field(default=0.05, ge=0, le=1)


class TrainLandmarker(Fit):
    """Top-down HRNet on grouped landmarks, all 13 categories at once. Crop (width, height), pixels."""

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


class Run(Section):
    """Learning rate and length of one category's run."""

    lr: float = Field(gt=0)
    epochs: int = Field(ge=1)


def finetune_fit(shared: Finetune, run: Run) -> Fit:
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
    return Fit(
        lr=run.lr,
        epochs=run.epochs,
        lr_steps=steps,
        batch_size=shared.batch_size,
        weight_decay=shared.weight_decay,
        precision=shared.precision,
    )


class CategoryRuns(Section):
    """One category's finetuning and refinement."""

    finetune: Run = Run(lr=5e-4, epochs=4)
    refine: Run = Run(lr=2e-3, epochs=4)


AlignmentSource = Literal["fld", "category_attribute", "in_shop", "consumer_to_shop", "lsp"]


class SynthesizeAlignment(Section):
    """The wardrobe in the formats of alignment data: FLD, DeepFashion's other benchmarks, LSP."""

    train: int = Field(default=1500, ge=0, description="pictures of FLD and Category & Attribute")
    val: int = Field(default=200, ge=0)
    test: int = Field(default=200, ge=0)
    items: int = Field(default=60, ge=0, description="of In-shop and Consumer-to-shop, 5 photos each")
    people: int = Field(default=120, ge=0, description="of LSP; the first half trains")
    size: int = Field(default=128, ge=64, description="height of the pictures, pixels")


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


class DfaStage(Fit):
    """DFA's cascade: all three stages alike. ``input_size``: side of the square crops, pixels."""

    source: str = Field(default="fld", description="of the alignment catalog")
    epochs: int = Field(default=8, ge=1)
    backbone: str = "small"
    pretrained: str | None = None
    dropout: float = Field(default=0.0, ge=0, lt=1, description="behind fc6 and fc7; 0.5 as published")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    input_size: int = Field(default=64, ge=16)
    frame: Literal["letterbox", "box"] = "letterbox"
    per_type: bool = Field(
        default=False, description="a model per clothing type; else one of 8 landmarks with a mask"
    )
    clusters: int = Field(default=20, ge=0, description="K of the pseudo-labels; 0 trains without")
    temperature: float = Field(default=20.0, gt=0, description="T of stage 1, 224-px units")
    visibility_weight: float = Field(default=1.0, ge=0, description="alpha of eq. 4")
    label_weight: float = Field(default=1.0, ge=0, description="beta of eq. 4")
    decay: tuple[float, float] = Field(default=(0.33, 0.67), description="t1 and t2, share of the run")
    schedule: Literal["decaying", "as_printed"] = "decaying"
    branches: Literal["routing", "average", "one"] = Field(
        default="routing", description="stage 3: easy or hard, the average of two, or one network"
    )
    epsilon: float | None = Field(
        default=None,
        ge=0,
        description="of auto-routing, normalised; 0.3 as published, null halves the garments",
    )
    flip: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=0.1, ge=0, description="log-scale, standard deviation")
    shift: float = Field(default=0.03, ge=0, description="share of the crop, standard deviation")
    color: float = Field(default=0.2, ge=0, description="largest relative change of a channel")
    position_constraint: float = Field(
        default=0.0, ge=0, description="weight of PCLoss on the positions, squared sides of the crop"
    )
    position_constraint_k: int = Field(default=4, ge=1, description="hardest landmarks of a part")
    position_constraint_parts: Literal["sides", "whole"] = "sides"


class Evaluate(Section):
    """Judging on the validation split; ``boxes``: the landmarkers' besides the ground truth."""

    split: str = "validation"
    boxes: str = Field(
        default=DETECTOR,
        min_length=1,
        description="detector (CenterNet), box_detector, or the path of a COCO results file",
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
    pictures: int = Field(default=12, ge=0, description="validation pictures drawn in the report")
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
    resamples: int = Field(default=1000, ge=100, description="of the pictures, for that interval")
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


class Fleet(Section):
    """How work is spread; no step is remade when this changes.

    Nothing here changes a result except the threads of one task (rounding) and the devices that share
    a run (``devices``, ``gpus_per_task`` above 1): rounding, each one's own noise and, on CPUs, what
    batch norm sees.
    """

    cpus_per_task: int = Field(default=1, ge=1)
    gpus_per_task: float = Field(
        default=0.0, ge=0, description="a share of one, or as many as share one category's training"
    )
    max_retries: int = Field(default=3, ge=0)
    wait_for_node: float = Field(
        default=0.0, ge=0, description="seconds until a node must be there that a task fits on"
    )
    devices: int = Field(
        default=1, ge=1, description="GPUs (or processes on CPUs) that share the detector's training"
    )
    workers: int = Field(default=2, ge=1, description="processes of synthesize and ingest")
    loader_workers: int = Field(
        default=0,
        ge=0,
        description="processes that cut crops for one training run; 0 where crops fit in memory",
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> "Fleet":
        if self.gpus_per_task > 1 and self.gpus_per_task % 1:
            raise ValueError(f"gpus_per_task {self.gpus_per_task}: above 1 it must be a whole number")
        return self


class Retrain(Section):
    """The schedule on which the chain runs by itself; what is current is skipped."""

    cron: str = Field(default="0 3 * * 1", description="minute, hour, day, month, weekday")
    timezone: str = "UTC"
    enabled: bool = Field(default=False, description="whether it starts with the Dagster services")
    overdue_days: float = Field(
        default=8.0, gt=0, description="without a run that got as far as `register`: not fresh"
    )

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError("must be an IANA time zone, such as Europe/Berlin") from error
        return name


class Inbox(Section):
    """Labelled batches in ``data/inbox``: ``NAME`` is taken once ``NAME.ready`` lies beside it."""

    enabled: bool = Field(default=False, description="whether its sensor starts with the services")
    min_pictures: int = Field(default=100, ge=1, description="of all ready batches; fewer wait")


class Drift(Section):
    """When a new batch counts as unlike the training data: an effect that is large and no chance."""

    pictures: int = Field(default=500, ge=1, description="looked at of each side, drawn by the seed")
    max_psi: float = Field(default=0.2, gt=0, description="population stability index of categories")
    max_ks: float = Field(default=0.2, gt=0, le=1, description="Kolmogorov-Smirnov distance")
    significance: float = Field(default=0.001, gt=0, lt=1)


class Notify(Section):
    """Who is told of failures and of what is no longer fresh; the log always is."""

    webhook: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="gets JSON by POST; FASHION_OPS_WEBHOOK overrides it and stays out of files",
    )


class Params(Section):
    """All of ``params.yaml``."""

    seed: int = 0
    synthesize: Synthesize = Synthesize()
    ingest: Ingest = Ingest()
    aggregate: Aggregate = Aggregate()
    pseudo_label: PseudoLabel = PseudoLabel()
    train_detector: TrainDetector = TrainDetector()
    tune_postprocess: TunePostprocess = TunePostprocess()
    train_box_detector: TrainBoxDetector = TrainBoxDetector()
    train_landmarker: TrainLandmarker = TrainLandmarker()
    finetune: Finetune = Finetune()
    refine: Refine = Refine()
    categories: dict[str, CategoryRuns] = {name: CategoryRuns() for name in CATEGORY_NAMES}
    synthesize_alignment: SynthesizeAlignment = SynthesizeAlignment()
    ingest_alignment: IngestAlignment = IngestAlignment()
    dfa_stage: DfaStage = DfaStage()
    evaluate: Evaluate = Evaluate()
    registration: Register = Field(default=Register(), alias="register")
    promote: Promote = Promote()
    retrain: Retrain = Retrain()
    inbox: Inbox = Inbox()
    drift: Drift = Drift()
    notify: Notify = Notify()
    fleet: Fleet = Fleet()

    @model_validator(mode="after")
    def _known_categories(self) -> "Params":
        unknown = set(self.categories) - set(CATEGORY_NAMES)
        if unknown:
            raise ValueError(f"categories: unknown {sorted(unknown)}; known: {list(CATEGORY_NAMES)}")
        return self


def load_params(path: Path) -> Params:
    """Read and check a parameter file.

    Raises:
        ValueError: the file is missing, is no YAML or breaks a rule; says which key and value.
    """
    try:
        return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: not valid\n{explain(error)}") from error


def explain(error: ValidationError) -> str:
    """One line a mistake: which key, what is wrong, what stood there."""
    lines = []
    for e in error.errors():
        got = "" if isinstance(e["input"], dict) else f" (got {e['input']!r})"
        lines.append(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}{got}")
    return "\n".join(lines)
