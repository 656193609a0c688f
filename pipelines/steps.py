"""The asset graph as a table: group, kinds, owner and dependencies of each step.

``fashion_ops.steps`` defines the steps, their order, descriptions and partitions. ``dvc.yaml`` defines
the dependencies a second time; a test compares the two graphs.
"""

from dataclasses import dataclass

from fashion_ops.steps import DESCRIPTIONS, PARTITIONED, PARTITIONS
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
    """One asset.

    Attributes:
        name: of the step, or ``BATCHES``.
        group: a key of ``OWNERS``.
        kinds: badges that Dagster shows on it; a step with ``ray`` uses Ray where RAY_ADDRESS is set.
        deps: names of the assets that it depends on.
    """

    name: str
    group: str
    kinds: tuple[str, ...]
    deps: tuple[str, ...]

    @property
    def description(self) -> str:
        """The description of the step."""
        batches = "Labelled batches from `data/inbox`: checked, versioned, added to the training data."
        return DESCRIPTIONS.get(self.name, batches)

    @property
    def partitions(self) -> tuple[str, ...]:
        """Keys of its partitions; empty if it has none."""
        return PARTITIONS.get(self.name, ())


_EVALUATED = (
    *("ingest", "aggregate", "pseudo_label", "train_detector", "tune_postprocess"),
    *("train_box_detector", "train_landmarker", "finetune", "refine"),
)
ASSETS = (
    StepAsset("synthesize", "data", ("python",), ()),
    StepAsset(BATCHES, "data", ("dvc",), ()),
    StepAsset("ingest", "data", ("parquet",), ("synthesize", BATCHES)),
    StepAsset("aggregate", "data", ("parquet",), ("ingest",)),
    StepAsset("pseudo_label", "data", ("parquet", "numpy"), ("ingest",)),
    StepAsset("drift", "data", ("numpy",), ("ingest", "pseudo_label")),
    StepAsset("train_detector", "models", ("pytorch", "ray"), ("ingest", "aggregate")),
    StepAsset("tune_postprocess", "models", ("numpy", "ray"), ("ingest", "train_detector")),
    StepAsset("train_box_detector", "models", ("pytorch", "ray"), ("ingest",)),
    StepAsset(
        "train_landmarker", "models", ("pytorch", "ray"), ("ingest", "aggregate", "pseudo_label")
    ),
    StepAsset("finetune", "models", ("pytorch", "ray"), ("ingest", "aggregate", "train_landmarker")),
    StepAsset("refine", "models", ("pytorch", "ray"), ("ingest", "aggregate", "finetune")),
    StepAsset("synthesize_alignment", "alignment", ("python",), ()),
    StepAsset("ingest_alignment", "alignment", ("parquet",), ("synthesize_alignment",)),
    StepAsset("dfa_stage", "alignment", ("pytorch", "ray"), ("ingest_alignment",)),
    StepAsset("train_gle", "alignment", ("pytorch", "ray"), ("ingest_alignment",)),
    StepAsset(
        "register_alignment",
        "alignment",
        ("mlflow",),
        ("dfa_stage", "train_gle", "tune_postprocess", "train_box_detector"),
    ),
    StepAsset("promote_alignment", "alignment", ("mlflow",), ("register_alignment",)),
    StepAsset("evaluate", "evaluation", ("python", "ray"), _EVALUATED),
    StepAsset("register", "registry", ("mlflow", "ray"), ("evaluate",)),
    StepAsset("promote", "registry", ("mlflow", "ray"), ("register",)),
)
PARENTS: Parents = {asset.name: asset.deps for asset in ASSETS}


def steps_by_job() -> dict[str, tuple[str, ...]]:
    """Names of the assets of each job, in order of execution.

    ``alignment`` has the assets of the group ``alignment``, ``pipeline`` all others. There are two jobs
    because all partitioned assets of a Dagster job must have the same partitions.
    """
    names = [asset.name for asset in ASSETS]
    alignment = tuple(asset.name for asset in ASSETS if asset.group == "alignment")
    chains = {"pipeline": tuple(n for n in names if n not in alignment), "alignment": alignment}
    return {job: steps for job, steps in chains.items() if steps}


def partitions_of(steps: tuple[str, ...]) -> tuple[str, ...]:
    """The partition keys that the partitioned steps among these share; empty if none has partitions."""
    return next((PARTITIONS[step] for step in steps if step in PARTITIONED), ())
