"""The pipeline in Dagster: one asset for each step, checks, jobs, schedules, sensors.

This package is thin: ``fashion_ops.steps`` does the work and ``fashion_ops.ledger`` records it. Nothing
here imports torch, Ray or MLflow before a step runs.
"""

import warnings

import dagster as dg

import fashion_ops as fashion_ops  # before torch: sets how OpenMP's threads wait

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # single-run backfills; dagster is pinned
