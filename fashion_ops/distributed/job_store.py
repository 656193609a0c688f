"""The job store: checkpoints, data in chunks and progress of the jobs, kept on the driver's node.

It runs as a Ray actor beside the driver, but does not import Ray. Workers reach the driver's disk only
through it. ``scratch`` is a worker's own temporary folder; if its process is killed, a later worker on
the same node removes it.
"""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_ops.files.publishing import partials, write_whole

SCRATCH = "fashion-ops-"


@dataclass(frozen=True)
class Event:
    """One report of a worker. Times are ``time.monotonic`` of the driver's node."""

    kind: str  # started | epoch | ended | not_saved
    name: str
    time: float
    node: str = ""
    resumed: bool = False
    epoch: int = 0  # epochs done
    metrics: Mapping[str, float] | None = None
    error: str = ""  # why a checkpoint could not be written


class JobStore:
    """Keeps checkpoints in ``folder`` by key, chunks by job name, and events until they are taken."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._sources: dict[str, Sequence[Any]] = {}
        self._events: list[Event] = []

    def add_chunks(self, name: str, source: Sequence[Any]) -> None:
        """Keep the data of a job for its worker; ``source[i]`` is read when it fetches chunk i."""
        self._sources[name] = source

    def chunk(self, name: str, index: int) -> Any:
        """Chunk ``index`` (from 0) of the data of the job ``name``."""
        return self._sources[name][index]

    def start(self, name: str, key: str, node: str) -> bytes | None:
        """Report that a worker starts a job.

        Args:
            name: name of the job.
            key: name of its checkpoint.
            node: the worker's node, for the display and the timesheet.

        Returns:
            The checkpoint; None if there is none, and the job starts from the beginning.
        """
        path = self._folder / key
        saved = path.read_bytes() if path.is_file() else None
        self._events.append(Event("started", name, time.monotonic(), node, resumed=saved is not None))
        return saved

    def report(self, name: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Report that a job has done ``epoch`` epochs, with the metrics of the last one."""
        self._events.append(Event("epoch", name, time.monotonic(), epoch=epoch, metrics=metrics))

    def save(self, name: str, key: str, data: bytes) -> None:
        """Save the checkpoint ``data`` of a job under ``key``.

        If it can't be written, an event says so and the job continues.
        """
        try:
            write_whole(self._folder / key, data)
        except OSError as error:  # named by the folder, so that all jobs say the same
            why = str(OSError(error.errno, error.strerror, str(self._folder)))
            self._events.append(Event("not_saved", name, time.monotonic(), error=why))

    def end(self, name: str) -> None:
        """Report that the worker has finished a job, whose result is not on the driver yet."""
        self._events.append(Event("ended", name, time.monotonic()))

    def take_events(self) -> list[Event]:
        """Return the events since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def remove(self, name: str, key: str) -> None:
        """Delete the checkpoint ``key`` and the data of a job that is completed."""
        self._sources.pop(name, None)
        (self._folder / key).unlink(missing_ok=True)


def remove_partials(folder: Path, keys: Sequence[str]) -> None:
    """Delete half-written checkpoints of these keys, which interrupted saves left in ``folder``."""
    for key in keys:
        for partial in partials(folder / key):
            partial.unlink(missing_ok=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for all temporary files of one task, and delete it at the end of the block.

    Within the block ``tempfile`` uses it too. Folders that killed tasks left on this node are deleted
    first: a task locks its folder as long as its process lives, so a folder that can be locked belongs
    to no process.
    """
    parent = Path(tempfile.gettempdir())
    for folder in parent.glob(f"{SCRATCH}*"):
        try:
            with (folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # in use, or just removed
            continue
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as name, Path(name, "new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Path(name, "new").rename(Path(name, "lock"))  # so that it is never seen unlocked
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before
