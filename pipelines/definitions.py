"""The code location that ``dagster dev`` loads.

It loads while ``params.yaml``, ``dvc.yaml`` or ``dvc.lock`` are broken: sensors and alarms work with
the settings that were valid last, and every run fails with the line that says what to repair.
"""

import logging
from pathlib import Path
from typing import Any

import dagster as dg

from fashion_ops.workspace import find_root
from pipelines.assets import make_assets
from pipelines.checks import CHECKS
from pipelines.jobs import JOBS
from pipelines.notify import find_webhook
from pipelines.resources import RepositoryResource, last_valid_params, run_cluster_manifest
from pipelines.schedules import make_schedule
from pipelines.sensors import alarms, dvc_lock, failed_runs, make_new_data_sensor, overdue

log = logging.getLogger(__name__)


def build(root: Path) -> dg.Definitions:
    """All Dagster definitions for the repository at ``root``.

    Raises:
        ValueError: FASHION_OPS_RAY_CLUSTER names no manifest of a Ray cluster.
    """
    params = last_valid_params(root)
    try:
        find_webhook(params.notify)
    except ValueError as error:  # retraining goes on; alarms wait until the address is mended
        log.error("alarms cannot be delivered: %s", error)
    resources: dict[str, Any] = {"repository": RepositoryResource(root=str(root))}
    sensors = [dvc_lock, make_new_data_sensor(params.batches), failed_runs, overdue, alarms]
    if manifest := run_cluster_manifest(root):
        from pipelines.run_cluster import make_run_cluster, ray_clusters  # not installed everywhere

        resources["ray_cluster"] = make_run_cluster(manifest, params)
        sensors.append(ray_clusters)
    return dg.Definitions(
        assets=make_assets(root, params.retrain, run_cluster=manifest is not None),
        asset_checks=CHECKS,
        jobs=list(JOBS.values()),
        schedules=[make_schedule(job, params.retrain) for job in JOBS],
        sensors=sensors,
        resources=resources,
        # One process per run: its steps share torch and Ray, and Ray distributes the work.
        executor=dg.in_process_executor,
    )


defs = build(find_root())
