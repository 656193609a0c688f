"""Closes the MLflow runs that a killed process left open, which would be "running" for ever.

Every run that this package opens names its process in the tag ``OWNER_TAG``. A run of this host is
closed once that process has ended. A process of another host can't be looked up: its run is closed when
nothing was logged for ``REMOTE_RUN_EXPIRES``. If that process lives after all, it still logs, and its
end sets the status that is true. Runs without the tag belong to somebody else and stay as they are.
"""

from datetime import UTC, datetime, timedelta

from mlflow import MlflowClient
from mlflow.entities import Run

from fashion_ops.files.processes import is_alive, is_here
from fashion_ops.registry.client import EXPERIMENT, OWNER_TAG

REMOTE_RUN_EXPIRES = timedelta(days=2)
_KILLED = "KILLED"  # MLflow's word


def close_dead_runs(client: MlflowClient) -> list[str]:
    """End the open runs whose process is gone, as KILLED.

    Args:
        client: from ``client.connect``.

    Returns:
        Ids of the runs that were closed.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    dead, token = [], None
    while token != "":
        page = client.search_runs(
            [experiment.experiment_id], "attributes.status = 'RUNNING'", page_token=token
        )
        dead += [run.info.run_id for run in page if _is_dead(client, run)]
        token = page.token or ""
    for run_id in dead:
        client.set_terminated(run_id, _KILLED)
    return dead


def _is_dead(client: MlflowClient, run: Run) -> bool:
    """Whether the process that writes an open run is gone, as far as this host can tell."""
    owner = run.data.tags.get(OWNER_TAG)
    if owner is None:
        return False
    if is_here(owner):
        return not is_alive(owner)
    last = run.info.start_time or 0
    for key in run.data.metrics:
        last = max([last, *(m.timestamp for m in client.get_metric_history(run.info.run_id, key))])
    return datetime.now(UTC) - datetime.fromtimestamp(last / 1000, UTC) > REMOTE_RUN_EXPIRES
