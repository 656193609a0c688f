"""The parameters of every step: ``params.yaml`` as typed models, one class per section.

Unknown keys are errors. The defaults are the values of ``params.yaml``, the demo's (synthetic wardrobe,
two cores, ten minutes; a test compares the two); ``configs/deepfashion2.yaml`` holds the paper-size
values. DVC watches the same file section by section, so a section holds exactly what changes the result
of its step. Settings that change no result are in sections that no DVC stage watches: ``distributed``
(workers, GPUs, addresses), ``retrain``, ``batches`` and ``notify`` (what runs automatically).
"""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

# ruff: noqa: F401 - other modules import all sections from here
from fashion_ops.params.alignment import (
    DfaStage,
    GLEConfig,
    PromoteAlignment,
    RegisterAlignment,
    TrainGle,
)
from fashion_ops.params.data import (
    Aggregate,
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
from fashion_ops.params.section import (
    Section,
    Stride32,
    TrainingConfig,
    explain,
    explain_yaml,
    read_yaml,
)
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import NO_WORKSPACE

# Keys of earlier versions -> their name today; sections first, as the paths of keys use the new ones.
OLD_KEYS = {
    "fleet": "distributed",
    "inbox": "batches",
    "batches.min_pictures": "min_images",
    "drift.pictures": "images",
    "evaluate.pictures": "images",
    "tune_postprocess.pictures": "images",
}


def find_old_keys(
    document: MutableMapping[str, Any],
) -> Iterator[tuple[MutableMapping[str, Any], str, str]]:
    """Yield (mapping, old key, new key) for each old key in ``document``, to be renamed one by one.

    Raises:
        ValueError: a key is given under both names.
    """
    for path, new in OLD_KEYS.items():
        section, _, old = path.rpartition(".")
        mapping = document.get(section) if section else document
        if isinstance(mapping, MutableMapping) and old in mapping:
            if new in mapping:
                name = f"{section}.{new}" if section else new
                raise ValueError(f"{path} is the old name of {name}, and both are given: keep {name}")
            yield mapping, old, new


def rename_old_keys(written: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``written`` in which each old key has its name of today.

    Raises:
        ValueError: a key is given under both names.
    """
    renamed = {key: dict(v) if isinstance(v, Mapping) else v for key, v in written.items()}
    for mapping, old, new in find_old_keys(renamed):
        mapping[new] = mapping.pop(old)
    return renamed


class Params(Section):
    """All of ``params.yaml``."""

    seed: int = Field(default=0, ge=0, lt=1 << 32)  # what NumPy and torch take
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
    train_gle: TrainGle = TrainGle()
    register_alignment: RegisterAlignment = RegisterAlignment()
    promote_alignment: PromoteAlignment = PromoteAlignment()
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
        ValueError: the file is missing, so that this is no workspace, is no YAML or breaks a rule; the
            message has key and value.
    """
    if not path.exists():
        raise ValueError(f"{path.absolute().parent}: has no {path.name}; {NO_WORKSPACE}")
    return read_yaml(Params, path)
