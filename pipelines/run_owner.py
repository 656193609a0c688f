"""The process that executes a run, and which runs are really in progress.

If the process of a run is killed and no daemon monitors it, the run stays "started" in Dagster and
would block all later ones. So each run has a tag that names its process.
"""

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from fashion_ops.processes import is_alive, is_here, this_process

__all__ = ["OWNER_TAG", "runs_in_progress", "tag_owner", "this_process"]

OWNER_TAG = "fashion_ops/driver"  # host:pid:start of the process


def tag_owner(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Tag a run with this process, which executes it."""
    if run.tags.get(OWNER_TAG) != this_process():
        instance.add_run_tags(run.run_id, {OWNER_TAG: this_process()})


def runs_in_progress(instance: dg.DagsterInstance) -> list[str]:
    """Ids of the runs in progress; runs of this host whose process has ended are marked as failed."""
    ids = []
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        owner = run.tags.get(OWNER_TAG, "")
        if is_here(owner) and not is_alive(owner):
            instance.report_run_failed(run, f"its process {owner.split(':')[1]} is gone")
        else:
            ids.append(run.run_id)
    return ids
