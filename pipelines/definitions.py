"""The code location that ``dagster dev`` loads.

It loads while ``params.yaml``, ``dvc.yaml`` or ``dvc.lock`` are broken: sensors and alarms work with
the settings that were valid last, and every run fails with the line that says what to repair.
"""

import logging
from pathlib import Path

import dagster as dg

from fashion_ops.workspace import find_root
from pipelines.assets import make_assets
from pipelines.checks import CHECKS
from pipelines.jobs import JOBS
from pipelines.notify import find_webhook
from pipelines.resources import RepositoryResource, last_valid_params
from pipelines.schedules import make_schedule
from pipelines.sensors import alarms, dvc_lock, failed_runs, make_new_data_sensor, overdue

log = logging.getLogger(__name__)


def build(root: Path) -> dg.Definitions:
    """All Dagster definitions for the repository at ``root``."""
    params = last_valid_params(root)
    try:
        find_webhook(params.notify)
    except ValueError as error:  # retraining goes on; alarms wait until the address is mended
        log.error("alarms cannot be delivered: %s", error)
    return dg.Definitions(
        assets=make_assets(root, params.retrain),
        asset_checks=CHECKS,
        jobs=list(JOBS.values()),
        schedules=[make_schedule(job, params.retrain) for job in JOBS],
        sensors=[dvc_lock, make_new_data_sensor(params.batches), failed_runs, overdue, alarms],
        resources={"repository": RepositoryResource(root=str(root))},
        # One process per run: its steps share torch and Ray, and Ray distributes the work.
        executor=dg.in_process_executor,
    )


defs = build(find_root())
