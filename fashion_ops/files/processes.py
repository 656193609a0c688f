"""Which process is meant by host, pid and start time, and whether it still runs.

A container assigns the same few pids after each restart, so a pid alone identifies nothing. On Linux a
start time is in clock ticks since boot, which do not change when somebody sets the clock.
"""

import os
import socket
import sys
from pathlib import Path

import psutil


def this_process() -> str:
    """This process as text: ``host:pid:start``."""
    return f"{socket.gethostname()}:{os.getpid()}:{start_of(os.getpid())}"


def is_here(process: str) -> bool:
    """Whether a process (``host:pid:start``) is one of this host, so that it can be looked up."""
    host, _, rest = process.partition(":")
    return host == socket.gethostname() and rest.partition(":")[0].isdecimal()


def is_alive(process: str) -> bool:
    """Whether a process of this host (``host:pid:start``) still runs."""
    pid, _, start = process.partition(":")[2].partition(":")
    return bool(start) and start_of(int(pid)) == start


def start_of(pid: int) -> str:
    """Start time of a process; empty if the process has ended."""
    if not sys.platform.startswith("linux"):
        return f"{psutil.Process(pid).create_time():.0f}" if psutil.pid_exists(pid) else ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
