"""One file a step. A step is one function ``run(params, workspace, ...)`` and one name everywhere.

This is the only place where catalog, methods and evaluation meet. A step reads and writes folders of
the ``Workspace``, returns its metrics as a flat dict of numbers, and knows nothing of DVC, Dagster or
MLflow. A step with partitions takes one more argument, the partition's key: ``finetune`` and ``refine``
a category, and are fanned out by ``fashion_ops.distributed``; other partitions are made one by one.
"""

from collections.abc import Mapping

from fashion_ops.taxonomy import CATEGORY_NAMES

STEPS: tuple[str, ...] = (
    "synthesize",
    "ingest",
    "aggregate",
    "pseudo_label",
    "drift",
    "train_detector",
    "tune_postprocess",
    "train_box_detector",
    "train_landmarker",
    "finetune",
    "refine",
    "synthesize_alignment",
    "ingest_alignment",
    "dfa_stage",
    "evaluate",
    "register",
    "promote",
)
DFA_STAGES = ("1", "2", "3")  # each is made from the one before
PARTITIONS: Mapping[str, tuple[str, ...]] = {
    "finetune": CATEGORY_NAMES,
    "refine": CATEGORY_NAMES,
    "dfa_stage": DFA_STAGES,
}
PARTITIONED: tuple[str, ...] = tuple(PARTITIONS)
BY_CATEGORY = tuple(step for step, keys in PARTITIONS.items() if keys == CATEGORY_NAMES)  # by Ray
REGISTRY: tuple[str, ...] = ("register", "promote")
