"""One task on a worker: fetch the checkpoint, do the work, send metrics and new checkpoints back.

The worker's own disk holds only its scratch folder; the driver's disk is reached through the job store.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle

from fashion_ops.distributed.job_store import scratch
from fashion_ops.distributed.sender import CheckpointSender
from fashion_ops.workspace import write_whole

Metrics = Mapping[str, float]
OnEpoch = Callable[[int, Metrics], None]
RELAY_SECONDS = 0.5


class WorkerLost(RuntimeError):
    """The worker of a job, or its node, died too often."""


@dataclass(frozen=True)
class Payload:
    """The input of a job on its way to a worker."""

    prepared: ray.ObjectRef  # without the streamed field
    stream: str | None  # field that the worker fetches chunk by chunk; None if there is none
    chunks: int  # number of chunks


def run_job(
    work: bytes, payload: Payload, name: str, key: str, job_store: Any, in_background: bool
) -> Any:
    """Run one job on this worker.

    Args:
        work: the function ``work`` of ``fan_out``, pickled. It is unpickled, and so imported, after the
            start of the job is reported, so that the imports are part of the job's duration.
        payload: the input of the job.
        name: name of the job.
        key: name of its checkpoint.
        job_store: handle of the ``JobStore`` actor.
        in_background: whether the work goes on while a checkpoint travels, see ``CheckpointSender``.

    Returns:
        What ``work`` returned.
    """
    with scratch() as folder:
        checkpoint = folder / "checkpoint"
        saved: bytes | None = ray.get(job_store.start.remote(name, key, this_node()))  # pyright: ignore
        if saved is not None:
            checkpoint.write_bytes(saved)
        prepared = ray.get(payload.prepared)
        if payload.stream is not None:
            chunks = fetch_chunks(job_store, name, payload.chunks)
            prepared = replace(prepared, **{payload.stream: chunks})

        with reporting(folder, checkpoint, name, key, job_store, in_background) as reporter:
            result = cloudpickle.loads(work)(prepared, checkpoint, reporter)
        ray.get(job_store.end.remote(name))
        return result


@contextmanager
def reporting(
    folder: Path, checkpoint: Path, name: str, key: str, job_store: Any, in_background: bool
) -> Iterator["EpochReporter"]:
    """Make the ``on_epoch`` of a job, which sends metrics and new checkpoints to the job store.

    Args:
        folder: scratch folder of the worker.
        checkpoint: the file that the training replaces.
        name: name of the job.
        key: name of its checkpoint.
        job_store: handle of the ``JobStore`` actor.
        in_background: see ``CheckpointSender``.
    """

    def report(epoch: int, metrics: Metrics) -> None:
        ray.get(job_store.report.remote(name, epoch, metrics))

    def save(data: bytes) -> None:
        ray.get(job_store.save.remote(name, key, data))

    with (
        CheckpointSender(checkpoint, save, in_background) as sender,
        EpochReporter(folder, report, sender) as reporter,
    ):
        yield reporter


def this_node() -> str:
    """Host name and id of this node, for the display and the timesheet."""
    return f"{socket.gethostname()} {ray.get_runtime_context().get_node_id()[:8]}"


def fetch_chunks(job_store: Any, name: str, count: int) -> Iterator[Any]:
    """Fetch the ``count`` chunks of a job one after the other, so that only one is in memory."""
    for index in range(count):
        yield ray.get(job_store.chunk.remote(name, index))


class EpochReporter:
    """Calls ``report(epoch, metrics)`` and the sender for each epoch, also from child processes.

    In the process that made it, a call returns when the metrics have arrived. A child process that
    shares the training has no connection to Ray: it leaves a file in ``folder``, which a thread of the
    first process passes on.
    """

    def __init__(self, folder: Path, report: OnEpoch, sender: CheckpointSender) -> None:
        self._folder = folder
        self._outward: tuple[OnEpoch, CheckpointSender] | None = (report, sender)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._relay, daemon=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_outward": None}

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        if self._outward is not None:
            self._report(epoch, metrics)
            return
        write_whole(self._folder / f"note-{epoch:06d}.json", json.dumps(dict(metrics)).encode())

    def __enter__(self) -> "EpochReporter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._report_notes()

    def _relay(self) -> None:
        """Report the epochs of child processes until the context ends; runs on the thread."""
        while not self._done.wait(RELAY_SECONDS):
            self._report_notes()

    def _report_notes(self) -> None:
        """Report the epochs that child processes left as files."""
        for note in sorted(self._folder.glob("note-*.json")):
            metrics = json.loads(note.read_text())
            self._report(int(note.stem.removeprefix("note-")), metrics)
            note.unlink()

    def _report(self, epoch: int, metrics: Metrics) -> None:
        """Offer the checkpoint to the sender, which may be a new one, and report the metrics."""
        assert self._outward is not None
        report, sender = self._outward
        sender.offer()
        report(epoch, dict(metrics))
