"""One file a step. A step is one function ``run(params, workspace, ...)`` and one name everywhere.

This is the only place where catalog, methods and evaluation meet. A step reads and writes folders of
the ``Workspace``, returns its metrics as a flat dict of numbers, and knows nothing of DVC, Dagster or
MLflow. ``finetune`` and ``refine`` take a category and are fanned out by ``fashion_ops.fleet``.
"""

STEPS: tuple[str, ...] = (
    "synthesize",
    "ingest",
    "aggregate",
    "pseudo_label",
    "train_detector",
    "tune_postprocess",
    "train_box_detector",
    "train_landmarker",
    "finetune",
    "refine",
    "evaluate",
    "register",
    "promote",
)
PARTITIONED: tuple[str, ...] = ("finetune", "refine")
REGISTRY: tuple[str, ...] = ("register", "promote")
