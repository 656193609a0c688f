"""The fleet: independent jobs as Ray tasks, on this machine or on the cluster named by ``RAY_ADDRESS``.

One job is one category's training. The driver prepares it (reads what it needs into memory), a worker
does it (pure computation, no shared file system), the driver lands it (writes and records). Each job
keeps a resume point on the driver's disk: a worker that dies is replaced and goes on from its last
epoch. Nothing here knows what is trained, nor of Dagster or DVC.
"""

import math
import os
import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fashion_ops.board import Board
from fashion_ops.params import Fleet

Metrics = Mapping[str, float]
OnEpoch = Callable[[int, Metrics], None]
Work = Callable[[Any, Path | None, OnEpoch], Any]

TRANSIENT = [ConnectionError, TimeoutError]  # retried; any other exception of a job is its own fault
POLL_SECONDS = 0.5
START_ATTEMPTS = 4


@dataclass(frozen=True)
class Job:
    """One task. ``key`` names its resume point: a hash of everything the result depends on."""

    name: str
    key: str
    cost: float  # the most expensive job starts first
    prepare: Callable[[], Any]  # on the driver, when a worker is about to be free


class FanOutError(RuntimeError):
    """Some jobs failed; all others landed. ``failures``: the cause of each, by name."""

    def __init__(self, what: str, failures: Mapping[str, BaseException], total: int) -> None:
        causes = [f"{name}: {type(e).__name__}: {e}" for name, e in failures.items()]
        super().__init__(f"{what}: {len(failures)} of {total} failed\n  " + "\n  ".join(causes))
        self.failures = dict(failures)


def fan_out(
    what: str,
    jobs: Iterable[Job],
    work: Work,
    land: Callable[[str, Any], None],
    settings: Fleet,
    checkpoints: Path,
) -> None:
    """Run all jobs, longest first, and land each as it finishes.

    Args:
        what: the step's name, for messages.
        jobs: what to do; names are unique.
        work: ``work(prepared, checkpoint, on_epoch)`` on a worker; a module-level function. It resumes
            from the file ``checkpoint`` where that exists, rewrites it after each epoch and then calls
            ``on_epoch(epochs_done, metrics)``.
        land: ``land(name, result)`` on the driver. When it raises, the job counts as failed and keeps
            its resume point.
        settings: CPUs and GPUs of a task, retries.
        checkpoints: folder on the driver for resume points.

    Raises:
        FanOutError: at the end, naming every job that failed and why.
        ValueError: no machine of the fleet can ever run such a task.
    """
    queue = sorted(jobs, key=lambda job: (-job.cost, job.name))
    total, failures = len(queue), {}
    if not queue:
        return
    connect(settings)
    gpus = _usable_gpus(settings)
    slots = _slots(settings.cpus_per_task, gpus)
    store = _start_store(checkpoints)
    task = ray.remote(_run).options(
        name=what,
        num_cpus=settings.cpus_per_task,
        num_gpus=gpus,
        max_retries=settings.max_retries,
        retry_exceptions=TRANSIENT,
    )
    running: dict[ray.ObjectRef, Job] = {}
    board = Board(what, total)
    try:
        with board:
            while queue or running:
                while queue and len(running) <= slots:  # one more than runs, prepared and waiting
                    job = queue.pop(0)
                    try:
                        payload = ray.put(job.prepare())
                    except Exception as error:
                        failures[job.name] = error
                        board.fail(job.name, error)
                        continue
                    running[task.remote(work, payload, job.name, job.key, store)] = job
                done, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                board.update(ray.get(store.progress.remote()))
                for ref in done:
                    job = running.pop(ref)
                    try:
                        land(job.name, ray.get(ref))
                        ray.get(store.forget.remote(job.name, job.key))
                        board.land(job.name)
                    except Exception as error:
                        failures[job.name] = _cause(error)
                        board.fail(job.name, failures[job.name])
    finally:
        for ref in running:
            ray.cancel(ref, force=True)
        ray.kill(store)
    if failures:
        raise FanOutError(what, failures, total)


def connect(settings: Fleet) -> None:
    """Join the cluster of ``RAY_ADDRESS``, or start Ray on this machine; once a process.

    A cluster gets this package sent along; it needs the same Python, Ray and torch installed.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # workers use this interpreter
    hide = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # a task without GPUs sees none
    address = os.environ.get("RAY_ADDRESS") or "local"
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        # Ray's processes ask each other for a token; without ours it leaves one in the home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        cpus = max(os.cpu_count() or 1, settings.cpus_per_task)
        os.environ |= hide
        _start(address, num_cpus=cpus, include_dashboard=False, **common)
    else:
        package = str(Path(__file__).parent)
        ray.init(address, runtime_env={"py_modules": [package], "env_vars": hide}, **common)


def _start(address: str, **options: Any) -> None:
    """``ray.init``, again where a busy machine took longer than the 30 s that Ray gives itself."""
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(address, **options)
            return
        except Exception as error:
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise


def _usable_gpus(settings: Fleet) -> float:
    """GPUs a task asks for: 0 with a warning where this machine has none."""
    wanted = settings.gpus_per_task
    if wanted == 0 or ray.cluster_resources().get("GPU", 0) >= wanted:
        return wanted
    if os.environ.get("RAY_ADDRESS"):
        raise ValueError(
            f"fleet.gpus_per_task is {wanted:g}, but the cluster at {os.environ['RAY_ADDRESS']} has "
            f"{ray.cluster_resources().get('GPU', 0):g} GPUs: add a node with one, or set it to 0"
        )
    warnings.warn(
        f"fleet.gpus_per_task is {wanted:g}, but there is no GPU: training on CPUs", stacklevel=3
    )
    return 0.0


def _slots(cpus: int, gpus: float) -> int:
    """How many tasks run at once."""
    largest = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    if largest < cpus:
        raise ValueError(f"fleet.cpus_per_task is {cpus}, but the largest node has {largest:g} CPUs")
    free = ray.cluster_resources()
    slots = free.get("CPU", 0) / cpus
    if gpus:
        slots = min(slots, free["GPU"] / gpus)
    return max(1, math.floor(slots))


def _cause(error: Exception) -> BaseException:
    """What the job itself raised, out of Ray's wrapping."""
    if isinstance(error, RayTaskError) and error.cause is not None:
        return error.cause
    if isinstance(error, RayError):
        return RuntimeError(f"lost after all retries: {str(error).splitlines()[0]}")
    return error


def _run(work: Work, payload: Any, name: str, key: str, store: Any) -> Any:
    """One task on a worker: fetch the resume point, work, send each new one back."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        saved: bytes | None = ray.get(store.fetch.remote(key))  # pyright: ignore[reportAssignmentType]
        if saved is not None:
            checkpoint.write_bytes(saved)

        def on_epoch(epoch: int, metrics: Metrics) -> None:
            data = checkpoint.read_bytes() if checkpoint.exists() else None
            ray.get(store.save.remote(name, key, data, epoch, dict(metrics)))

        return work(payload, checkpoint, on_epoch)


class CheckpointStore:
    """Resume points on the driver's disk, reached by workers through Ray alone."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._progress: dict[str, tuple[int, dict[str, float]]] = {}

    def fetch(self, key: str) -> bytes | None:
        path = self._folder / key
        return path.read_bytes() if path.is_file() else None

    def save(
        self, name: str, key: str, data: bytes | None, epoch: int, metrics: dict[str, float]
    ) -> None:
        self._progress[name] = (epoch, metrics)
        if data is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = self._folder / f"{key}.partial"
            fresh.write_bytes(data)
            fresh.replace(self._folder / key)

    def progress(self) -> dict[str, tuple[int, dict[str, float]]]:
        return self._progress

    def forget(self, name: str, key: str) -> None:
        self._progress.pop(name, None)
        (self._folder / key).unlink(missing_ok=True)


def _start_store(folder: Path) -> Any:
    """The checkpoint store as an actor on the driver's node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(CheckpointStore).options(num_cpus=0, scheduling_strategy=here)
    return actor.remote(str(folder.resolve()))
