"""The asset graph as a table: description, group, kinds, owner and dependencies of each step.

``fashion_ops.steps`` defines the steps, their order and their partitions. ``dvc.yaml`` defines the
dependencies a second time; a test compares the two graphs.
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

BATCHES = "batches"  # not a step: the batches that `fashion_ops.steps.batches` accepted


@dataclass(frozen=True)
class StepAsset:
    """One asset. ``kinds`` are the badges of its box in the graph."""

    name: str
    group: str
    kinds: tuple[str, ...]
    deps: tuple[str, ...]
    description: str

    @property
    def partitions(self) -> tuple[str, ...]:
        """Keys of its partitions; empty if it has none."""
        return PARTITIONS.get(self.name, ())


ASSETS = (
    StepAsset(
        "synthesize", "data", ("python",), (), "The synthetic wardrobe, in DeepFashion2's raw layout."
    ),
    StepAsset(
        BATCHES,
        "data",
        ("dvc",),
        (),
        "Labelled batches from `data/inbox`: checked, versioned, added to the training data.",
    ),
    StepAsset(
        "ingest",
        "data",
        ("parquet",),
        ("synthesize", BATCHES),
        "The catalog: images, garments, and the quarantine of invalid records.",
    ),
    StepAsset(
        "aggregate",
        "data",
        ("parquet",),
        ("ingest",),
        "Landmarks of the catalog on shared channels, by `aggregate.grouping`.",
    ),
    StepAsset(
        "pseudo_label",
        "data",
        ("parquet", "numpy"),
        ("ingest",),
        "Clusters of landmark configurations, and a soft label for each garment (DFA).",
    ),
    StepAsset(
        "drift",
        "data",
        ("numpy",),
        ("ingest", "pseudo_label"),
        "Compares the newest batch with earlier training data: mix, landmark configurations, images.",
    ),
    StepAsset(
        "train_detector",
        "models",
        ("pytorch",),
        ("ingest", "aggregate"),
        "CenterNet with keypoints (DeepMark++): boxes, categories and first landmarks.",
    ),
    StepAsset(
        "tune_postprocess",
        "models",
        ("numpy",),
        ("ingest", "train_detector"),
        "Post-processing parameters of DeepMark++, by grid search on the detector's maps.",
    ),
    StepAsset(
        "train_box_detector",
        "models",
        ("pytorch",),
        ("ingest",),
        "Cascade R-CNN or Hybrid Task Cascade, if `kind` names one.",
    ),
    StepAsset(
        "train_landmarker",
        "models",
        ("pytorch",),
        ("ingest", "aggregate", "pseudo_label"),
        "Top-down HRNet over all categories (Aggregation and Finetuning).",
    ),
    StepAsset(
        "finetune",
        "models",
        ("pytorch", "ray"),
        ("ingest", "aggregate", "train_landmarker"),
        "The landmarker, finetuned on one category; 13 Ray tasks, longest first.",
    ),
    StepAsset(
        "refine",
        "models",
        ("pytorch", "ray"),
        ("ingest", "aggregate", "finetune"),
        "PoseFix on one category's landmarks; 13 Ray tasks, longest first.",
    ),
    StepAsset(
        "synthesize_alignment",
        "alignment",
        ("python",),
        (),
        "The wardrobe in the formats of FLD, DeepFashion's other benchmarks and LSP.",
    ),
    StepAsset(
        "ingest_alignment",
        "alignment",
        ("parquet",),
        ("synthesize_alignment",),
        "A catalog and a quarantine for each alignment data set.",
    ),
    StepAsset(
        "dfa_stage",
        "alignment",
        ("pytorch",),
        ("ingest_alignment",),
        "One stage of the DFA cascade: cluster, train, predict; each from the stage before.",
    ),
    StepAsset(
        "evaluate",
        "evaluation",
        ("python",),
        (
            *("ingest", "aggregate", "pseudo_label", "train_detector", "tune_postprocess"),
            *("train_box_detector", "train_landmarker", "finetune", "refine"),
        ),
        "OKS-AP and box AP on the validation split, and the report.",
    ),
    StepAsset(
        "register",
        "registry",
        ("mlflow",),
        ("evaluate",),
        "Registers all models as one version, the challenger. Equal models make no new version.",
    ),
    StepAsset(
        "promote",
        "registry",
        ("mlflow",),
        ("register",),
        "The challenger becomes champion if the gate in `params.yaml` holds; else it says why.",
    ),
)
PARENTS: Parents = {asset.name: asset.deps for asset in ASSETS}


def steps_by_job() -> dict[str, tuple[str, ...]]:
    """Names of the steps of each job. The assets of one Dagster job share one kind of partitions.

    ``alignment`` has the steps of the group ``alignment``, ``pipeline`` all others.
    """
    names = [asset.name for asset in ASSETS]
    alignment = tuple(asset.name for asset in ASSETS if asset.group == "alignment")
    chains = {"pipeline": tuple(n for n in names if n not in alignment), "alignment": alignment}
    return {job: steps for job, steps in chains.items() if steps}


def partitions_of(steps: tuple[str, ...]) -> tuple[str, ...]:
    """The partition keys that these steps of one job share; empty if they have none."""
    return next((PARTITIONS[step] for step in steps if step in PARTITIONED), ())
