"""One task on a worker: fetch the resume point, work, send each new one back.

The worker's own disk holds its scratch folder and nothing else; the driver's disk is reached through
the depot alone.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle

from fashion_ops.distributed.job_store import scratch

Metrics = Mapping[str, float]
OnEpoch = Callable[[int, Metrics], None]
RELAY_SECONDS = 0.5


def run_job(
    work: bytes,
    payload: list[ray.ObjectRef],
    stream: tuple[str, int] | None,
    name: str,
    key: str,
    depot: Any,
) -> Any:
    """Do one job.

    Args:
        work: pickled; see ``distributed.fan_out``. Importing what it needs is part of the job's time.
        payload: refers to what its ``prepare`` gave, without what is streamed.
        stream: field of the payload and number of chunks that the depot has for it.
        name: of the job.
        key: of its resume point.
        depot: the actor.
    """
    with scratch() as folder:
        checkpoint = folder / "checkpoint"
        node = f"{socket.gethostname()} {ray.get_runtime_context().get_node_id()[:8]}"
        saved: bytes | None = ray.get(depot.begin.remote(name, key, node))  # pyright: ignore
        if saved is not None:
            checkpoint.write_bytes(saved)
        prepared = ray.get(payload[0])
        if stream is not None:
            prepared = replace(prepared, **{stream[0]: _chunks(depot, name, stream[1])})
        with Herald(
            folder, checkpoint, lambda *told: ray.get(depot.save.remote(name, key, *told))
        ) as herald:
            result = cloudpickle.loads(work)(prepared, checkpoint, herald)
        ray.get(depot.end.remote(name))
        return result


def _chunks(depot: Any, name: str, count: int) -> Iterator[Any]:
    """Pull chunk after chunk; the one before is let go."""
    for index in range(count):
        yield ray.get(depot.chunk.remote(name, index))


class Herald:
    """Tells ``save(checkpoint bytes, epoch, metrics)`` of each epoch, also from processes of the work.

    In the process that made it, a call returns when the resume point is saved. A process that shares
    the work knows no Ray: it leaves a note in ``folder``, which a thread here passes on.
    """

    def __init__(
        self, folder: Path, checkpoint: Path, save: Callable[[bytes | None, int, Metrics], None]
    ) -> None:
        self._folder, self._checkpoint = folder, checkpoint
        self._save: Callable[[bytes | None, int, Metrics], None] | None = save
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._relay, daemon=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_checkpoint": self._checkpoint, "_save": None}

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        if self._save is not None:
            self._tell(epoch, metrics)
            return
        fresh = self._folder / f"note-{epoch}-{os.getpid()}.partial"
        fresh.write_text(json.dumps(dict(metrics)))
        fresh.replace(self._folder / f"note-{epoch:06d}.json")

    def __enter__(self) -> "Herald":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._pass_on()

    def _relay(self) -> None:
        while not self._done.wait(RELAY_SECONDS):
            self._pass_on()

    def _pass_on(self) -> None:
        for note in sorted(self._folder.glob("note-*.json")):
            metrics = json.loads(note.read_text())
            self._tell(int(note.stem.removeprefix("note-")), metrics)
            note.unlink()

    def _tell(self, epoch: int, metrics: Metrics) -> None:
        data = self._checkpoint.read_bytes() if self._checkpoint.exists() else None
        assert self._save is not None
        self._save(data, epoch, dict(metrics))
