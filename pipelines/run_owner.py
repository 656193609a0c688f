"""The process that executes a run, and which runs are really in progress.

If the process of a run is killed and no daemon monitors it, the run stays "started" in Dagster and
would block all later ones. So each run has a tag that names its process.
"""

import os
import socket
import sys
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

OWNER_TAG = "fashion_ops/driver"  # host:pid:start of the process


def this_process() -> str:
    """The value of ``OWNER_TAG`` for this process."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"


def tag_owner(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Tag a run with this process, which executes it."""
    if run.tags.get(OWNER_TAG) != this_process():
        instance.add_run_tags(run.run_id, {OWNER_TAG: this_process()})


def runs_in_progress(instance: dg.DagsterInstance) -> list[str]:
    """Ids of the runs in progress; runs of this host whose process has ended are marked as failed."""
    ids = []
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        host, _, process = run.tags.get(OWNER_TAG, "").partition(":")
        pid, _, start = process.partition(":")
        if host == socket.gethostname() and (not start or _start_of(int(pid)) != start):
            instance.report_run_failed(run, f"its process {pid} is gone")
        else:
            ids.append(run.run_id)
    return ids


def _start_of(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if the process has ended.

    A container assigns the same few pids after each restart, so a pid alone identifies nothing. Ticks
    do not change when somebody sets the clock.
    """
    if not sys.platform.startswith("linux"):
        return f"{psutil.Process(pid).create_time():.0f}" if psutil.pid_exists(pid) else ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
