"""The steps of the pipeline, one file each: a function ``run(params, workspace, ...)``.

A step reads and writes folders of the ``Workspace``, returns its metrics as a flat dict of numbers, and
does not depend on DVC or Dagster; only the steps of ``REGISTRY`` use the registry. A step with
partitions takes the key of the partition as one more argument: ``finetune`` and ``refine`` take a
category and run in parallel by ``fashion_ops.distributed``; those of ``dfa_stage`` run in sequence.
"""

from collections.abc import Mapping

from fashion_ops.taxonomy import CATEGORY_NAMES

DESCRIPTIONS: Mapping[str, str] = {  # in order of execution; help of the commands, text of the assets
    "synthesize": "Draw the synthetic wardrobe, in DeepFashion2's layout.",
    "ingest": "Read labelled photos into the catalog; invalid records go to quarantine.",
    "aggregate": "Apply the landmark grouping to the catalog, by `aggregate.grouping`.",
    "pseudo_label": "Cluster landmark configurations; a soft label for each garment (DFA).",
    "drift": "Compare the newest batch with earlier training data: mix, landmarks, images.",
    "train_detector": "Train the CenterNet detector (DeepMark++): boxes, categories, first landmarks.",
    "tune_postprocess": "Search the post-processing parameters of DeepMark++ on the detector's maps.",
    "train_box_detector": "Train Cascade R-CNN or Hybrid Task Cascade, if `kind` names one.",
    "train_landmarker": "Train the universal top-down landmarker (Aggregation and Finetuning).",
    "finetune": "Finetune the landmarker, one model per category.",
    "refine": "Train PoseFix on the finetuned landmarkers, one model per category.",
    "synthesize_alignment": "Draw the wardrobe in the formats of FLD, DeepFashion and LSP.",
    "ingest_alignment": "Read FLD, the other DeepFashion benchmarks and LSP into their catalogs.",
    "dfa_stage": "Train the DFA cascade on the alignment catalog, one stage at a time.",
    "train_gle": "Train GLE on the alignment catalog: heatmaps of eight landmarks.",
    "register_alignment": "Register DFA or GLE with its detector as a version of its own.",
    "promote_alignment": "Make that challenger champion if `promote_alignment` in `params.yaml` holds.",
    "evaluate": "Evaluate all models on the validation split and write the report.",
    "register": "Register all models as one version, the challenger.",
    "promote": "Make the challenger champion if the gate in `params.yaml` holds.",
}
STEPS: tuple[str, ...] = tuple(DESCRIPTIONS)
DFA_STAGES = ("1", "2", "3")  # each needs the one before
PARTITIONS: Mapping[str, tuple[str, ...]] = {
    "finetune": CATEGORY_NAMES,
    "refine": CATEGORY_NAMES,
    "dfa_stage": DFA_STAGES,
}
PARTITIONED: tuple[str, ...] = tuple(PARTITIONS)
BY_CATEGORY = tuple(step for step, keys in PARTITIONS.items() if keys == CATEGORY_NAMES)
REGISTRY: tuple[str, ...] = ("register", "promote", "register_alignment", "promote_alignment")
PROMOTIONS: tuple[str, ...] = ("promote", "promote_alignment")  # a person or a schedule starts them
