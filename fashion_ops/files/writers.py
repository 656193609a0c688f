"""One writer at a time in a workspace: the lock of Dagster's runs, ``dvc repro`` and step commands.

A writer leaves a record of itself in ``.checkpoints/writers``: process, command, since when, and which
stages it writes. On its own machine the table of processes says whether it still runs; for other
machines it holds an operating system's lock on a file beside the record, which ends with the process.
Two writers exclude each other unless both write only stages that the other does not.

A process that a writer has started, directly or not, belongs to it. A step that ``dvc repro`` runs
makes the ``dvc`` process the writer, so that nobody comes between two of its stages.
"""

import json
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from fashion_ops.files.processes import start_of
from fashion_ops.files.publishing import machine, write_whole

FOLDER = Path(".checkpoints", "writers")  # git ignores it, in all versions
_GATE_SECONDS = 30  # others hold the gate for milliseconds


class WorkspaceBusy(OSError):
    """Another process writes to the workspace; the message names it."""


@dataclass(frozen=True)
class Writer:
    """A process that writes to a workspace.

    Attributes:
        command: what it does, as typed.
        pid: of the process.
        start: start time of the process, see ``processes.start_of``.
        machine: where the pid can be looked up, see ``publishing.machine``.
        host: name of the machine, for people.
        since: time at which it began, UTC.
        stages: names of the stages that it writes; empty for any.
        by_steps: whether it is a ``dvc``, whose steps hold the lock of the record in turn.
    """

    command: str
    pid: int
    start: str
    machine: str
    host: str
    since: str
    stages: tuple[str, ...] = ()
    by_steps: bool = False

    def excludes(self, stages: tuple[str, ...]) -> bool:
        """Whether nobody may write these stages (empty for any) while this writer lives."""
        return not (self.stages and stages) or bool({*self.stages} & {*stages})

    def describe(self, root: Path) -> str:
        """The line for those who have to wait."""
        what = f" ({', '.join(self.stages)})" if self.stages else ""
        return (
            f"{root.resolve()}: `{self.command}` writes here{what}: process {self.pid} on {self.host}, "
            f"since {self.since}; wait until it is done, or end it"
        )


@contextmanager
def only_writer(root: Path, command: str, stages: tuple[str, ...] = ()) -> Iterator[None]:
    """Be a writer of the workspace at ``root`` within the block.

    Does nothing in a process that is a writer already, or that a writer has started.

    Args:
        root: of the workspace.
        command: what this process does, for those who have to wait.
        stages: names of the only stages that it writes; empty for any.

    Raises:
        WorkspaceBusy: another process writes the same; the message is one line.
        OSError: the workspace cannot be written to.
    """
    root = root.resolve()
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with _gate(folder):
        record = _enter(root, command, stages)
        lock = None if record is None else FileLock(_lock_of(record), timeout=_GATE_SECONDS)
        if lock is not None:
            lock.acquire()
    try:
        yield
    finally:
        if record is not None and lock is not None:
            with suppress(OSError), _gate(folder):  # somebody may have deleted the folder
                if not _read(record).by_steps:
                    record.unlink()
                    _lock_of(record).unlink()
            lock.release()


def other_writer(root: Path) -> str | None:
    """The line that names another process which writes here; None if there is none."""
    lineage = _lineage()
    for record, writer in _records(root / FOLDER):
        if not _is_dead(record, writer) and not _is_among(writer, lineage):
            return writer.describe(root)
    return None


def _enter(root: Path, command: str, stages: tuple[str, ...]) -> Path | None:
    """Find or write the record whose lock this process has to hold.

    Returns:
        The record; None if this process, or one that it descends from, holds its lock already.

    Raises:
        WorkspaceBusy: another process writes the same.
    """
    lineage, records = _lineage(), _records(root / FOLDER)
    for record, writer in records:
        if _is_among(writer, lineage):
            return record if writer.by_steps else None
    for record, writer in records:
        if _is_dead(record, writer):
            record.unlink(missing_ok=True)
            _lock_of(record).unlink(missing_ok=True)
        elif writer.excludes(stages):
            raise WorkspaceBusy(writer.describe(root))
    pid, dvc = os.getpid(), _dvc() if os.environ.get("DVC_STAGE") else None
    if dvc is not None:
        pid, command, stages = dvc.pid, _typed(dvc.cmdline()), ()
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    host = socket.gethostname()
    new = Writer(command, pid, start_of(pid), machine(), host, since, stages, by_steps=dvc is not None)
    record = root / FOLDER / f"{machine()}-{pid}-{secrets.token_hex(4)}.json"
    write_whole(record, json.dumps(asdict(new), indent=1).encode())
    return record


def _gate(folder: Path) -> FileLock:
    """The lock under which records are compared and written."""
    return FileLock(folder / "gate", timeout=_GATE_SECONDS)


def _records(folder: Path) -> list[tuple[Path, Writer]]:
    """All records in the folder, also of writers that have died."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, KeyError, TypeError, ValueError):
            found.append((path, _read(path)))
    return found


def _read(path: Path) -> Writer:
    """One record."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Writer(**{**fields, "stages": tuple(fields["stages"])})


def _lock_of(record: Path) -> Path:
    """The file that the process of a record keeps locked."""
    return record.with_suffix(".lock")


def _is_dead(record: Path, writer: Writer) -> bool:
    """Whether the process of a record has ended."""
    if writer.machine == machine():
        return start_of(writer.pid) != writer.start
    lock = FileLock(_lock_of(record))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    lock.release()
    return True


def _is_among(writer: Writer, lineage: set[tuple[int, str]]) -> bool:
    """Whether the writer is one of these processes of this machine."""
    return writer.machine == machine() and (writer.pid, writer.start) in lineage


def _lineage() -> set[tuple[int, str]]:
    """Pid and start of this process and of all that it descends from."""
    pids = [os.getpid()]
    with suppress(psutil.Error):
        pids += [parent.pid for parent in psutil.Process().parents()]
    return {(pid, start_of(pid)) for pid in pids}


def _dvc() -> psutil.Process | None:
    """The ``dvc repro`` or ``dvc exp run`` that started this process."""
    with suppress(psutil.Error):
        for parent in psutil.Process().parents():
            words = [Path(word).name for word in parent.cmdline()]
            if "dvc" in words and {"repro", "exp"} & {*words}:
                return parent
    return None


def _typed(words: list[str]) -> str:
    """A command line as somebody typed it, without the interpreter and the folder of the program."""
    names = [Path(word).name for word in words]
    return shlex.join(["dvc", *words[names.index("dvc") + 1 :]])


def this_command() -> str:
    """The command line of this process, for ``only_writer``."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
