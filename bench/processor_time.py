"""Processor time of a process and everything that it started, between any two moments.

Wall time says little on a shared machine. ``Meter`` samples a tree of processes, Ray's included,
several times a second.
"""

import os
import threading
import time
from contextlib import suppress
from types import TracebackType

import numpy as np
import psutil

EVERY = 0.2  # seconds between samples


class Meter:
    """Samples the processor time of ``pid`` (default: this process) and its descendants."""

    def __init__(self, pid: int | None = None) -> None:
        self.pid = pid or os.getpid()
        self.at: list[float] = []
        self.used: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def between(self, start: float, end: float) -> float:
        """Processor seconds between two times of ``time.time()``."""
        first, last = np.interp([start, end], self.at, self.used)
        return float(last - first)

    def _sample(self) -> None:
        before = lost = 0.0  # lost: time of processes that ended without being waited for in the tree
        while not self._stop.is_set():
            used = tree(self.pid) + lost
            lost += max(before - used, 0.0)
            before = max(before, used)
            self.at.append(time.time())
            self.used.append(before)
            self._stop.wait(EVERY)


def tree(pid: int) -> float:
    """Processor seconds of the live processes of a tree and of their ended children."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    used = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            used += sum(
                process.cpu_times()[:4]
            )  # user and system time, of the process and of ended children
    return used
