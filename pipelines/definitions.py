"""The code location that ``dagster dev`` loads."""

from pathlib import Path

import dagster as dg

from fashion_ops.params import load_params
from fashion_ops.workspace import find_root
from pipelines.assets import make_assets
from pipelines.automation import JOBS, dvc_lock, make_schedule
from pipelines.batches import make_sensor, nothing_rejected
from pipelines.checks import CHECKS
from pipelines.home import RepositoryResource
from pipelines.notify import failed_runs, overdue


def build(root: Path) -> dg.Definitions:
    """Everything that Dagster knows of the repository at ``root``."""
    params = load_params(root / "params.yaml")
    return dg.Definitions(
        assets=make_assets(root, params.retrain),
        asset_checks=[*CHECKS, nothing_rejected],
        jobs=list(JOBS.values()),
        schedules=[make_schedule(job, params.retrain) for job in JOBS],
        sensors=[dvc_lock, make_sensor(params.batches), failed_runs, overdue],
        resources={"house": RepositoryResource(root=str(root))},
        # One process a run: its steps share torch and Ray, and Ray is what spreads the work.
        executor=dg.in_process_executor,
    )


defs = build(find_root())
