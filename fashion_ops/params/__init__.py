"""The parameters of every step: ``params.yaml`` as typed models, one class a section.

Unknown keys are errors. Defaults are those of the demo (synthetic wardrobe, two cores, ten minutes);
``configs/deepfashion2.yaml`` holds the paper-size values. DVC watches the same file section by
section, so a section holds exactly what changes the result of its step; what only says how a step is
carried out (workers, GPUs, addresses) stands in ``fleet``, and what happens by itself in ``retrain``,
``inbox`` and ``notify``: no stage watches those.
"""

from pathlib import Path

from pydantic import Field, model_validator

from fashion_ops.params.alignment import DfaStage
from fashion_ops.params.data import (
    Aggregate,
    AlignmentSource,
    Ingest,
    IngestAlignment,
    PseudoLabel,
    Synthesize,
    SynthesizeAlignment,
)
from fashion_ops.params.detectors import PostProcess, TrainBoxDetector, TrainDetector, TunePostprocess
from fashion_ops.params.evaluation import BOX_DETECTOR, DETECTOR, Evaluate, Promote, Register
from fashion_ops.params.landmarkers import (
    CategoryRuns,
    Finetune,
    Refine,
    Run,
    TrainLandmarker,
    finetune_fit,
)
from fashion_ops.params.operations import Drift, Fleet, Inbox, Notify, Retrain
from fashion_ops.params.section import Crop, Fit, Section, Stride32, explain, read_yaml
from fashion_ops.taxonomy import CATEGORY_NAMES

__all__ = [
    "BOX_DETECTOR",
    "DETECTOR",
    "Aggregate",
    "AlignmentSource",
    "CategoryRuns",
    "Crop",
    "DfaStage",
    "Drift",
    "Evaluate",
    "Finetune",
    "Fit",
    "Fleet",
    "Inbox",
    "Ingest",
    "IngestAlignment",
    "Notify",
    "Params",
    "PostProcess",
    "Promote",
    "PseudoLabel",
    "Refine",
    "Register",
    "Retrain",
    "Run",
    "Section",
    "Stride32",
    "Synthesize",
    "SynthesizeAlignment",
    "TrainBoxDetector",
    "TrainDetector",
    "TrainLandmarker",
    "TunePostprocess",
    "explain",
    "finetune_fit",
    "load_params",
    "read_yaml",
]


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
    categories: dict[str, CategoryRuns] = Field(
        default_factory=lambda: {name: CategoryRuns() for name in CATEGORY_NAMES}
    )
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
        named = {"categories": self.categories, "fleet.gpus_of": self.fleet.gpus_of}
        for key, names in named.items():
            if unknown := set(names) - set(CATEGORY_NAMES):
                raise ValueError(f"{key}: unknown {sorted(unknown)}; known: {list(CATEGORY_NAMES)}")
        return self


def load_params(path: Path) -> Params:
    """Read and check a parameter file.

    Raises:
        ValueError: the file is missing, is no YAML or breaks a rule; says which key and value.
    """
    return read_yaml(Params, path)
