"""What Dagster shows of each step, as a table: description, group, kinds, owner, what it depends on.

``fashion_ops.steps`` says which steps there are, in which order and with which partitions. Edges
stand here once more than in ``dvc.yaml``: a test compares the two graphs.
"""

from dataclasses import dataclass

from fashion_ops.steps import PARTITIONED, PARTITIONS
from pipelines.lineage import Parents

OWNERS = {  # by group
    "data": "team:data",
    "models": "team:modelling",
    "alignment": "team:modelling",
    "evaluation": "team:modelling",
    "registry": "team:operations",
}

BATCHES = "batches"  # no step: what `fashion_ops.steps.batches` accepted


@dataclass(frozen=True)
class Step:
    """One asset. ``kinds``: the badges of its box in the graph."""

    name: str
    group: str
    kinds: tuple[str, ...]
    deps: tuple[str, ...]
    text: str

    @property
    def partitions(self) -> tuple[str, ...]:
        """Keys of its partitions; empty where it is one piece."""
        return PARTITIONS.get(self.name, ())


STEPS_SHOWN = (
    Step(
        "synthesize", "data", ("python",), (), "The synthetic wardrobe, in DeepFashion2's raw layout."
    ),
    Step(
        BATCHES,
        "data",
        ("dvc",),
        (),
        "Labelled batches from `data/inbox`: judged, versioned, added to the training data.",
    ),
    Step(
        "ingest",
        "data",
        ("parquet",),
        ("synthesize", BATCHES),
        "The catalog: images, garments, and the quarantine of unsound records.",
    ),
    Step(
        "aggregate",
        "data",
        ("parquet",),
        ("ingest",),
        "Landmarks of the catalog on shared channels, by `aggregate.grouping`.",
    ),
    Step(
        "pseudo_label",
        "data",
        ("parquet", "numpy"),
        ("ingest",),
        "Clusters of landmark configurations, and every garment's soft label (DFA).",
    ),
    Step(
        "drift",
        "data",
        ("numpy",),
        ("ingest", "pseudo_label"),
        "The newest batch beside the training data before it: mix, landmark configurations, images.",
    ),
    Step(
        "train_detector",
        "models",
        ("pytorch",),
        ("ingest", "aggregate"),
        "CenterNet with keypoints (DeepMark++): boxes, categories and first landmarks.",
    ),
    Step(
        "tune_postprocess",
        "models",
        ("numpy",),
        ("ingest", "train_detector"),
        "Parameters of DeepMark++'s four techniques, by grid search on the detector's maps.",
    ),
    Step(
        "train_box_detector",
        "models",
        ("pytorch",),
        ("ingest",),
        "Cascade R-CNN or Hybrid Task Cascade, where `kind` asks for one.",
    ),
    Step(
        "train_landmarker",
        "models",
        ("pytorch",),
        ("ingest", "aggregate", "pseudo_label"),
        "Top-down HRNet over all categories (Aggregation and Finetuning).",
    ),
    Step(
        "finetune",
        "models",
        ("pytorch", "ray"),
        ("ingest", "aggregate", "train_landmarker"),
        "The landmarker, finetuned on one category; 13 Ray tasks, longest first.",
    ),
    Step(
        "refine",
        "models",
        ("pytorch", "ray"),
        ("ingest", "aggregate", "finetune"),
        "PoseFix on one category's landmarks; 13 Ray tasks, longest first.",
    ),
    Step(
        "synthesize_alignment",
        "alignment",
        ("python",),
        (),
        "The wardrobe in the formats of FLD, DeepFashion's other benchmarks and LSP.",
    ),
    Step(
        "ingest_alignment",
        "alignment",
        ("parquet",),
        ("synthesize_alignment",),
        "A catalog and a quarantine for each alignment data set.",
    ),
    Step(
        "dfa_stage",
        "alignment",
        ("pytorch",),
        ("ingest_alignment",),
        "One stage of DFA's cascade: cluster, train, predict; each from the stage before.",
    ),
    Step(
        "evaluate",
        "evaluation",
        ("python",),
        (
            *("ingest", "aggregate", "pseudo_label", "train_detector", "tune_postprocess"),
            *("train_box_detector", "train_landmarker", "finetune", "refine"),
        ),
        "OKS-AP and box AP on the validation split, and the report.",
    ),
    Step(
        "register",
        "registry",
        ("mlflow",),
        ("evaluate",),
        "All models as one version with the alias challenger. Equal models make no new version.",
    ),
    Step(
        "promote",
        "registry",
        ("mlflow",),
        ("register",),
        "The challenger becomes champion if the gate in `params.yaml` holds; else it says why not.",
    ),
)
PARENTS: Parents = {shown.name: shown.deps for shown in STEPS_SHOWN}


def jobs() -> dict[str, tuple[str, ...]]:
    """Job name -> its steps: Dagster's jobs hold assets of one kind of partition only.

    ``pipeline`` is everything but the group ``alignment``, which is a chain of its own.
    """
    names = [shown.name for shown in STEPS_SHOWN]
    alignment = tuple(shown.name for shown in STEPS_SHOWN if shown.group == "alignment")
    chains = {"pipeline": tuple(n for n in names if n not in alignment), "alignment": alignment}
    return {job: steps for job, steps in chains.items() if steps}


def partitions_of(steps: tuple[str, ...]) -> tuple[str, ...]:
    """The partition keys that these steps of one job share; empty where none has any."""
    return next((PARTITIONS[step] for step in steps if step in PARTITIONED), ())
