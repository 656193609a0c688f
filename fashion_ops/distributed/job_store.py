"""What the driver's node keeps for its workers: resume points, data chunk by chunk, who is how far.

It runs as a Ray actor beside the driver, but knows nothing of Ray. Workers reach the driver's disk
through it alone. ``Scratch`` is the other end: a worker's folder, which a later worker on the node
removes when its owner was killed.
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

PARTIAL = ".partial"
SCRATCH = "fashion-ops-"


@dataclass(frozen=True)
class Event:
    """Something that a worker told. Times are the driver node's ``time.monotonic``."""

    kind: str  # begun | epoch | ended | unsaved
    name: str
    time: float
    node: str = ""
    resumed: bool = False
    epoch: int = 0  # epochs done
    metrics: Mapping[str, float] | None = None
    trouble: str = ""  # why a resume point could not be written


class Depot:
    """Resume points below ``folder`` by key, data by job name, and what was told since last asked."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._sources: dict[str, Sequence[Any]] = {}
        self._events: list[Event] = []

    def offer(self, name: str, source: Sequence[Any]) -> None:
        """Keep a job's data ready: chunks, each read when a worker asks for it."""
        self._sources[name] = source

    def chunk(self, name: str, index: int) -> Any:
        """One chunk of a job's data."""
        return self._sources[name][index]

    def begin(self, name: str, key: str, node: str) -> bytes | None:
        """A worker has the job; its resume point, if there is one."""
        path = self._folder / key
        saved = path.read_bytes() if path.is_file() else None
        self._events.append(Event("begun", name, time.monotonic(), node, resumed=saved is not None))
        return saved

    def save(
        self, name: str, key: str, data: bytes | None, epoch: int, metrics: Mapping[str, float]
    ) -> None:
        """An epoch is done. A resume point that can't be written costs a resume, not the job."""
        self._events.append(Event("epoch", name, time.monotonic(), epoch=epoch, metrics=metrics))
        if data is None:
            return
        fresh = self._folder / (key + PARTIAL)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(data)
            fresh.replace(self._folder / key)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            self._events.append(Event("unsaved", name, time.monotonic(), trouble=str(error)))

    def end(self, name: str) -> None:
        """The worker is done; the result is on its way."""
        self._events.append(Event("ended", name, time.monotonic()))

    def told(self) -> list[Event]:
        """What was told since the last call."""
        events, self._events = self._events, []
        return events

    def forget(self, name: str, key: str) -> None:
        """The job landed: its resume point and its data are not needed any more."""
        self._sources.pop(name, None)
        (self._folder / key).unlink(missing_ok=True)


def remove_partials(folder: Path, keys: Sequence[str]) -> None:
    """Take away what a save that was cut off left of these keys' resume points."""
    for key in keys:
        (folder / (key + PARTIAL)).unlink(missing_ok=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one task, where all its temporary files go; removes those of tasks that were killed.

    Its owner holds a lock on it for as long as it lives, so a folder that can be locked has none.
    """
    parent = Path(tempfile.gettempdir())
    for folder in parent.glob(f"{SCRATCH}*"):
        try:
            with (folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # somebody's, or just removed
            continue
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as name, Path(name, "new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Path(name, "new").rename(Path(name, "lock"))  # nobody sees it unlocked
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before
