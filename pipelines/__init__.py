"""Dagster's view of the pipeline: one asset a step, checks, a schedule, and the sync with ``dvc.lock``.

Thin on purpose: what a step does is in ``fashion_ops.steps``, what was made from what is in
``fashion_ops.ledger``. Nothing here imports torch, Ray or MLflow before a step runs.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # single-run backfills; dagster is pinned
