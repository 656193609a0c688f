"""The process that executes a run, and which runs are really in progress.

If the process of a run is killed and no daemon monitors it, the run stays "started" in Dagster and
would block all later ones. So each run has a tag that names its process.
"""

import atexit
import os
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from fashion_ops.files.processes import is_alive, is_here, this_process
from fashion_ops.workspace import Workspace

__all__ = [
    "OWNER_TAG",
    "become_writer",
    "end_writing",
    "runs_in_progress",
    "tag_owner",
    "this_process",
]

OWNER_TAG = "fashion_ops/driver"  # host:pid:start of the process


_writing: dict[tuple[int, Path], ExitStack] = {}  # by process and root: a forked one holds nothing


def become_writer(ws: Workspace, run_id: str) -> None:
    """Be the only process that writes to the workspace until ``end_writing``, or until it ends.

    Each step of a run calls it, and a run that a daemon started has a process of its own, so nobody
    else writes between two steps.

    Raises:
        WorkspaceBusy: another process writes to it; the message names it.
    """
    key = os.getpid(), ws.root.resolve()
    if key not in _writing:
        with ExitStack() as stack:
            stack.enter_context(ws.writing(f"Dagster run {run_id}"))
            _writing[key] = stack.pop_all()
            atexit.register(end_writing, ws)


def end_writing(ws: Workspace) -> None:
    """Let other processes write to the workspace; does nothing if this one does not."""
    if stack := _writing.pop((os.getpid(), ws.root.resolve()), None):
        stack.close()


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
