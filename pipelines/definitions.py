"""The code location that ``dagster dev`` loads."""

from pathlib import Path

import dagster as dg

from fashion_ops.workspace import find_root
from pipelines.assets import make_assets
from pipelines.automation import dvc_lock, pipeline, retrain_weekly
from pipelines.checks import CHECKS
from pipelines.home import House


def build(root: Path) -> dg.Definitions:
    """Everything that Dagster knows of the repository at ``root``."""
    return dg.Definitions(
        assets=make_assets(root),
        asset_checks=CHECKS,
        jobs=[pipeline],
        schedules=[retrain_weekly],
        sensors=[dvc_lock],
        resources={"house": House(root=str(root))},
        # One process a run: its steps share torch and Ray, and Ray is what spreads the work.
        executor=dg.in_process_executor,
    )


defs = build(find_root())
