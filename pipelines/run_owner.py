"""Which process a run lives and dies with, and which runs are really in progress.

A run whose process was killed, or went down with its machine, stays "started" for Dagster where nobody
watched it; it would block every later one. Each run therefore carries its process as a tag.
"""

import os
import socket
import sys
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

DRIVER_TAG = "fashion_ops/driver"  # host:pid:start of the process


def driver() -> str:
    """This process, for ``DRIVER_TAG``."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def note_driver(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Tag a run with this process, which executes it."""
    if run.tags.get(DRIVER_TAG) != driver():
        instance.add_run_tags(run.run_id, {DRIVER_TAG: driver()})


def runs_in_progress(instance: dg.DagsterInstance) -> list[str]:
    """Ids of runs in progress; those whose driver process on this host is gone are closed first."""
    ids = []
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        host, _, process = run.tags.get(DRIVER_TAG, "").partition(":")
        pid, _, started = process.partition(":")
        if host == socket.gethostname() and (not started or _started(int(pid)) != started):
            instance.report_run_failed(run, f"its process {pid} is gone")
        else:
            ids.append(run.run_id)
    return ids


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty if it is gone.

    A container gives the same few pids after each restart, so a pid alone says little. Ticks do not
    move when somebody sets the clock.
    """
    if not sys.platform.startswith("linux"):
        return f"{psutil.Process(pid).create_time():.0f}" if psutil.pid_exists(pid) else ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
