"""The parameters of every step: ``params.yaml`` as typed models, one class a section.

Unknown keys are errors. Defaults are those of the demo (synthetic wardrobe, two cores, ten minutes);
``configs/deepfashion2.yaml`` holds the paper-size values. DVC watches the same file section by
section, so a section holds exactly what changes the result of its step; what only says how a step is
carried out (workers, GPUs, addresses) stands in ``distributed``, and what happens by itself in ``retrain``,
``batches`` and ``notify``: no stage watches those.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    CategorySettings,
    CategoryTraining,
    Finetune,
    Refine,
    TrainLandmarker,
)
from fashion_ops.params.operations import Batches, Distributed, Drift, Notify, Retrain
from fashion_ops.params.section import Crop, Section, Stride32, TrainingConfig, explain, read_yaml
from fashion_ops.taxonomy import CATEGORY_NAMES

__all__ = [
    "BOX_DETECTOR",
    "DETECTOR",
    "Aggregate",
    "AlignmentSource",
    "Batches",
    "CategorySettings",
    "CategoryTraining",
    "Crop",
    "DfaStage",
    "Distributed",
    "Drift",
    "Evaluate",
    "Finetune",
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
    "Section",
    "Stride32",
    "Synthesize",
    "SynthesizeAlignment",
    "TrainBoxDetector",
    "TrainDetector",
    "TrainLandmarker",
    "TrainingConfig",
    "TunePostprocess",
    "explain",
    "load_params",
    "read_yaml",
]


# Keys that had another name in earlier versions: (section, key or None for the whole section), new name.
OLD_KEYS = (
    ("fleet", None, "distributed"),
    ("inbox", None, "batches"),
    ("batches", "min_pictures", "min_images"),
    ("drift", "pictures", "images"),
)


def rename_old_keys(written: Mapping[str, Any]) -> dict[str, Any]:
    """The same parameters with the keys that they have today; a new key beside the old one wins."""
    renamed = dict(written)
    for section, key, new in OLD_KEYS:
        if key is None:
            if section in renamed:
                renamed.setdefault(new, renamed.pop(section))
        elif isinstance(inner := renamed.get(section), Mapping) and key in inner:
            inner = dict(inner)
            inner.setdefault(new, inner.pop(key))
            renamed[section] = inner
    return renamed


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
    categories: dict[str, CategorySettings] = Field(
        default_factory=lambda: {name: CategorySettings() for name in CATEGORY_NAMES}
    )
    synthesize_alignment: SynthesizeAlignment = SynthesizeAlignment()
    ingest_alignment: IngestAlignment = IngestAlignment()
    dfa_stage: DfaStage = DfaStage()
    evaluate: Evaluate = Evaluate()
    registration: Register = Field(default=Register(), alias="register")
    promote: Promote = Promote()
    retrain: Retrain = Retrain()
    batches: Batches = Batches()
    drift: Drift = Drift()
    notify: Notify = Notify()
    distributed: Distributed = Distributed()

    @model_validator(mode="before")
    @classmethod
    def _old_keys(cls, written: Any) -> Any:
        return rename_old_keys(written) if isinstance(written, dict) else written

    @model_validator(mode="after")
    def _known_categories(self) -> "Params":
        named = {"categories": self.categories, "distributed.gpus_of": self.distributed.gpus_of}
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
