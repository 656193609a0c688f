"""The fleet: independent jobs as Ray tasks, on this machine or on the cluster named by ``RAY_ADDRESS``.

One job is one category's training. The driver prepares it, a worker does it (pure computation, no
shared file system; large data it pulls chunk by chunk), the driver lands it (writes and records). Each
job keeps a resume point on the driver's disk: a worker that dies, with its node or alone, is replaced
and goes on from its last epoch. Nothing here knows what is trained, nor of Dagster or DVC.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fashion_ops.distributed.cluster import POLL_SECONDS, connect, most_gpus, slots_now, usable_gpus
from fashion_ops.distributed.display import Board
from fashion_ops.distributed.job_store import Depot, remove_partials
from fashion_ops.distributed.timesheet import FAILED, LANDED, Clerk
from fashion_ops.distributed.worker import Metrics, OnEpoch, run_job
from fashion_ops.params import Distributed

Work = Callable[[Any, Path | None, OnEpoch], Any]

TRANSIENT = [ConnectionError, TimeoutError]  # retried; any other exception of a job is its own fault


@dataclass(frozen=True)
class Job:
    """One task. ``key`` names its resume point: a hash of everything the result depends on."""

    name: str
    key: str
    cost: float  # the most expensive job starts first
    prepare: Callable[[], Any]  # on the driver, when a worker is about to be free
    stream: str | None = None  # field of the dataclass from ``prepare`` that is pulled chunk by chunk
    epochs: int | None = None  # how many it has, for those who watch
    gpus: float | None = None  # None: as many as the settings say


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
    settings: Distributed,
    checkpoints: Path,
    *,
    timesheet: Path | None = None,
    on_epoch: Callable[[str, int, Metrics], None] | None = None,
) -> None:
    """Run all jobs, longest first, and land each as it finishes.

    Args:
        what: the step's name, for messages.
        jobs: what to do; names are unique.
        work: ``work(prepared, checkpoint, on_epoch)`` on a worker; a module-level function. It resumes
            from the file ``checkpoint`` where that exists, rewrites it after each epoch and then calls
            ``on_epoch(epochs_done, metrics)``, from its own process or one that it started.
        land: ``land(name, result)`` on the driver, never cut short by Ctrl-C. When it raises, the job
            counts as failed and keeps its resume point.
        settings: CPUs and GPUs of a task, retries.
        checkpoints: folder on the driver for resume points.
        timesheet: file that says afterwards which node had which job from when to when.
        on_epoch: told on the driver (job, epochs done, metrics) of each epoch, as it happens.

    Raises:
        FanOutError: at the end, naming every job that failed and why.
        ValueError: no machine of the fleet can ever run such a task.
    """
    queue = sorted(jobs, key=lambda job: (-job.cost, job.name))
    if not queue:
        return
    connect(settings)
    gpus = usable_gpus(settings)
    run = _Run(what, queue, work, settings, gpus, checkpoints, timesheet, on_epoch)
    with run.board:
        try:
            run.submit()
            while run.open:
                done = [(ref, run.running.pop(ref)) for ref in run.wait()]
                run.listen()
                run.submit()  # before landing, so that no worker waits for the driver's disk
                for ref, job in done:
                    run.finish(ref, job, land)
        finally:
            run.stop()
    if run.failures:
        raise FanOutError(what, run.failures, run.total)


class _Run:
    """The state of one fan-out on the driver."""

    def __init__(
        self,
        what: str,
        queue: list[Job],
        work: Work,
        settings: Distributed,
        gpus: float,
        checkpoints: Path,
        timesheet: Path | None,
        on_epoch: Callable[[str, int, Metrics], None] | None,
    ) -> None:
        self.queue, self.total, self.checkpoints = queue, len(queue), checkpoints
        self.keys = [job.key for job in queue]
        self.running: dict[ray.ObjectRef, Job] = {}
        self.ready: list[
            tuple[Job, ray.ObjectRef, tuple[str, int] | None]
        ] = []  # prepared, one at most
        self.failures: dict[str, BaseException] = {}
        self.work = cloudpickle.dumps(work)  # pyright: ignore[reportPrivateImportUsage]
        self.cpus, self.gpus = settings.cpus_per_task, gpus
        self.board = Board(what, {job.name: job.epochs for job in queue})
        self.clerk = Clerk(what, time.monotonic())
        self.timesheet, self.on_epoch = timesheet, on_epoch
        self.asked = 0
        self.depot = _start_depot(checkpoints)
        self.options = {
            "name": what,
            "num_cpus": self.cpus,
            "max_retries": settings.max_retries,
            "retry_exceptions": TRANSIENT,
        }

    @property
    def open(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.queue or self.ready or self.running)

    def submit(self) -> None:
        """Start jobs on all free slots, then prepare the next one; prepared ones are large.

        A job that takes several slots' GPUs waits until so many are free; shorter ones wait behind it.
        No more are started than there are slots: Ray lends the CPU of a task that waits for the depot
        to the next one.
        """
        slots = slots_now(self.cpus, self.gpus)
        self.clerk.see_slots(slots)
        self._ask_for_nodes()
        while (free := slots - self._busy()) > 0 and (self.ready or self._prepare_next()):
            gpus = self._grant(self.ready[0][0])
            if self._width(gpus) > free and self.running:
                break
            job, payload, stream = self.ready.pop()
            task = ray.remote(run_job).options(**self.options, num_gpus=gpus)
            ref = task.remote(self.work, [payload], stream, job.name, job.key, self.depot)
            self.running[ref] = replace(job, gpus=gpus)
        if not self.ready:
            self._prepare_next()

    def _grant(self, job: Job) -> float:
        """GPUs that a job gets: no more than the largest node has."""
        wanted = self._wanted(job)
        if wanted > self.gpus and wanted > (most := most_gpus()):
            self.board.warn(f"{job.name} is to take {wanted:g} GPUs, the largest node has {most:g}")
            return max(self.gpus, most)
        return wanted

    def _wanted(self, job: Job) -> float:
        return self.gpus if job.gpus is None or not self.gpus else job.gpus

    def _width(self, gpus: float) -> int:
        """How many slots such a task takes."""
        return math.ceil(gpus / self.gpus - 1e-9) if self.gpus else 1

    def _busy(self) -> int:
        return sum(self._width(self._wanted(job)) for job in self.running.values())

    def _prepare_next(self) -> bool:
        """Have the next job ready; False when there is none."""
        while self.queue and not self.ready:
            job = self.queue.pop(0)
            try:
                payload, stream = job.prepare(), None
                if job.stream is not None:
                    source: Sequence[Any] = getattr(payload, job.stream)
                    payload = replace(payload, **{job.stream: ()})
                    ray.get(self.depot.offer.remote(job.name, source))
                    stream = (job.stream, len(source))
                self.ready.append((job, ray.put(payload), stream))
            except Exception as error:
                self._failed(job, error)
        return bool(self.ready)

    def wait(self) -> list[ray.ObjectRef]:
        """Jobs that are done; returns soon also when none is."""
        if not self.running:
            time.sleep(POLL_SECONDS)
            return []
        return ray.wait(list(self.running), timeout=POLL_SECONDS)[0]

    def _ask_for_nodes(self) -> None:
        """Tell an autoscaling cluster how many tasks there are; others ignore it."""
        jobs = [*self.queue, *(ready[0] for ready in self.ready), *self.running.values()]
        if os.environ.get("RAY_ADDRESS") and len(jobs) != self.asked:
            gpus = [{"GPU": self._wanted(job)} if self.gpus else {} for job in jobs]
            request_resources(bundles=[{"CPU": float(self.cpus)} | own for own in gpus])
            self.asked = len(jobs)

    def listen(self) -> None:
        """Pass on what workers told since the last time."""
        events = ray.get(self.depot.told.remote())
        self.clerk.hear(events)
        self.board.hear(events)
        for event in events:
            if event.kind == "epoch" and self.on_epoch is not None:
                self.on_epoch(event.name, event.epoch, event.metrics or {})

    def finish(self, ref: ray.ObjectRef, job: Job, land: Callable[[str, Any], None]) -> None:
        """Land one job, or note why it failed."""
        try:
            result = ray.get(ref)
            with _whole():
                land(job.name, result)
            ray.get(self.depot.forget.remote(job.name, job.key))
        except Exception as error:
            self._failed(job, _cause(error))
            return
        self.board.land(job.name)
        self._close(job, LANDED)

    def _failed(self, job: Job, error: BaseException) -> None:
        self.failures[job.name] = error
        self.board.fail(job.name, error)
        self._close(job, FAILED)

    def _close(self, job: Job, outcome: str) -> None:
        self.clerk.close(job.name, job.cost, self._width(self._wanted(job)), outcome)
        if self.timesheet is not None:
            try:
                self.clerk.timesheet(time.monotonic()).write(self.timesheet)
            except OSError as error:
                self.board.warn(f"{self.timesheet}: not written: {error}")

    def stop(self) -> None:
        """End what still runs; resume points stay, half-written ones go."""
        with _whole():
            for ref in self.running:
                ray.cancel(ref, force=True)
            ray.kill(self.depot)
            remove_partials(self.checkpoints, self.keys)
            if self.asked:
                with suppress(Exception):  # the cluster may be gone
                    request_resources(bundles=[])


@contextmanager
def _whole() -> Iterator[None]:
    """Ctrl-C in here counts afterwards."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    ):
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


def _cause(error: Exception) -> BaseException:
    """What the job itself raised, out of Ray's wrapping."""
    if isinstance(error, RayTaskError) and error.cause is not None:
        return error.cause
    if isinstance(error, RayError):
        return RuntimeError(f"lost after all retries: {str(error).splitlines()[0]}")
    return error


def _start_depot(folder: Path) -> Any:
    """The depot as an actor on the driver's node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Depot).options(num_cpus=0, scheduling_strategy=here)
    return actor.remote(str(folder.resolve()))
