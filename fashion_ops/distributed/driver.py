"""The driver's side of a fan-out: which jobs wait, run and have failed, and the calls to Ray."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fashion_ops.distributed.cluster import POLL_SECONDS, SlotWatch, most_gpus, slots_now
from fashion_ops.distributed.display import Display
from fashion_ops.distributed.job_store import JobStore, remove_partials
from fashion_ops.distributed.timesheet import COMPLETED, FAILED, Recorder
from fashion_ops.distributed.train_group import GroupPlan, run_group
from fashion_ops.distributed.worker import Metrics, Payload, WorkerLost, run_job
from fashion_ops.params import Distributed

Work = Callable[..., Any]  # (prepared, checkpoint, on_epoch), of a group of workers also the group

TRANSIENT = [ConnectionError, TimeoutError]  # retried; any other exception of a job is final


@dataclass(frozen=True)
class Job:
    """One job of a fan-out."""

    name: str  # unique
    key: str  # name of its checkpoint: a hash of everything that the result depends on
    cost: float  # in any unit; the most expensive job starts first
    prepare: Callable[[], Any]  # makes the input of ``work``, on the driver, just in time
    stream: str | None = None  # field of the dataclass from ``prepare`` that is sent chunk by chunk
    epochs: int | None = None  # for the display; None if it is unknown
    gpus: float | None = None  # None for ``distributed.gpus_per_task``
    workers: int | None = None  # that share it, as a Ray Train job; None runs it as one task
    fewest: int | None = None  # workers that it may start or go on with; None asks for all of them


class Driver:
    """The state of one fan-out.

    A slot is the CPUs and GPUs of one task with the default number of GPUs. The arguments are those of
    ``fan_out``, but ``queue`` holds the jobs in the order of their start and ``gpus`` is the number of
    GPUs of one slot, from ``usable_gpus``.
    """

    def __init__(
        self,
        step: str,
        queue: Sequence[Job],
        work: Work,
        settings: Distributed,
        gpus: float,
        checkpoints: Path,
        timesheet: Path | None,
    ) -> None:
        self.failures: dict[str, BaseException] = {}
        self.display = Display(step, {job.name: job.epochs for job in queue})
        self._queue, self._keys = list(queue), [job.key for job in queue]
        self._prepared: tuple[Job, Payload] | None = None  # only one, because inputs are large
        self._running: dict[ray.ObjectRef, Job] = {}
        self._work = cloudpickle.dumps(work)  # pyright: ignore[reportPrivateImportUsage]
        self._cpus, self._gpus = settings.cpus_per_task, gpus
        self._max_retries = settings.max_retries
        self._in_background = settings.checkpoint_minutes > 0
        self._slots = SlotWatch(settings, gpus, self.display.warn, "the checkpoints")
        self._checkpoints, self._timesheet = checkpoints, timesheet
        self._recorder = Recorder(step, time.monotonic())
        self._requested = 0  # number of tasks that an autoscaling cluster was last told
        self._job_store = _start_job_store(checkpoints)
        self._options = {
            "name": step,
            "num_cpus": self._cpus,
            "max_retries": settings.max_retries,
            "retry_exceptions": TRANSIENT,
        }
        self._group_options = {
            "name": step,
            "num_cpus": 0,
            "max_retries": 0,  # Ray Train itself tries again
            "scheduling_strategy": _on_this_node(),
        }

    @property
    def has_work(self) -> bool:
        """Whether a job waits or runs."""
        return bool(self._queue or self._prepared or self._running)

    def submit(self) -> None:
        """Start jobs on all free slots, then prepare the next job.

        A job that takes the GPUs of several slots waits until that many are free, and the jobs after
        it wait too. Slots are counted here and not left to Ray, which would start more tasks than there
        are slots: it gives the CPU of a task that waits for the job store to another task.
        """
        slots = self._slots.count()
        self._recorder.update_slots(slots)
        self._request_nodes()
        while (free := slots - self._busy_slots()) > 0 and self._prepare_next():
            assert self._prepared is not None
            job, payload = self._prepared
            job = self._grant(job)
            if self._slots_of(job) > free and self._running:
                break
            self._prepared = None
            self._running[self._start(job, payload)] = job
        self._prepare_next()

    def wait(self) -> list[tuple[ray.ObjectRef, Job]]:
        """Wait until a task ends, at most ``POLL_SECONDS``; returns the ended tasks with their jobs.

        Raises:
            ServiceError: there has been no slot for too long.
        """
        self._slots.check()
        if not self._running:
            time.sleep(POLL_SECONDS)
            return []
        refs, _ = ray.wait(list(self._running), timeout=POLL_SECONDS)
        return [(ref, self._running.pop(ref)) for ref in refs]

    def process_events(self, on_epoch: Callable[[str, int, Metrics], None] | None) -> None:
        """Show and record what workers have reported since the last call.

        ``on_epoch`` is called with (job name, epochs done, metrics) for each epoch among it.
        """
        events = ray.get(self._job_store.take_events.remote())
        self._recorder.update(events)
        self.display.update(events)
        for event in events:
            if event.kind == "epoch" and on_epoch is not None:
                on_epoch(event.name, event.epoch, event.metrics or {})

    def finish(self, ref: ray.ObjectRef, job: Job, on_result: Callable[[str, Any], None]) -> None:
        """Call ``on_result`` with name and result of a job that has ended, or record why it failed."""
        try:
            result = ray.get(ref)
            with _deferred_interrupt():
                on_result(job.name, result)
            ray.get(self._job_store.remove.remote(job.name, job.key))
        except Exception as error:
            self._fail(job, _cause(error))
            return
        self.display.complete(job.name)
        self._record(job, COMPLETED)

    def stop(self) -> None:
        """Cancel running tasks and the job store.

        Complete checkpoints stay, half-written ones are deleted.
        """
        with _deferred_interrupt():
            for ref in self._running:
                ray.cancel(ref, force=True)
            ray.kill(self._job_store)
            remove_partials(self._checkpoints, self._keys)
            if self._requested:
                with suppress(Exception):  # the cluster may be gone
                    request_resources(bundles=[])

    def _prepare_next(self) -> bool:
        """Prepare the next job unless one is prepared already; returns False if there is none."""
        while self._queue and self._prepared is None:
            job = self._queue.pop(0)
            try:
                prepared, chunks = job.prepare(), 0
                if job.stream is not None:
                    source: Sequence[Any] = getattr(prepared, job.stream)
                    prepared, chunks = replace(prepared, **{job.stream: ()}), len(source)
                    ray.get(self._job_store.add_chunks.remote(job.name, source))
                self._prepared = job, Payload(ray.put(prepared), job.stream, chunks)
            except Exception as error:
                self._fail(job, error)
        return self._prepared is not None

    def _start(self, job: Job, payload: Payload) -> ray.ObjectRef:
        """Start the task of a job, or the one that leads its group of workers."""
        arguments = self._work, payload, job.name, job.key, self._job_store
        if job.workers is None:
            task = ray.remote(run_job).options(**self._options, num_gpus=job.gpus)
            return task.remote(*arguments, self._in_background)
        plan = GroupPlan(
            fewest=job.workers if job.fewest is None else min(job.fewest, job.workers),
            most=job.workers,
            cpus=self._cpus,
            gpus=1 if self._gpus else 0,
            max_retries=self._max_retries,
            in_background=self._in_background,
        )
        return ray.remote(run_group).options(**self._group_options).remote(*arguments, plan)

    def _requested_gpus(self, job: Job) -> float:
        """Number of GPUs that a job requests; 0 if this fan-out runs on CPUs."""
        return self._gpus if job.gpus is None or not self._gpus else job.gpus

    def _grant(self, job: Job) -> Job:
        """The job with the GPUs and workers that it gets.

        With a warning, a task gets at most as many GPUs as the largest node has, and a group of workers
        at most as many as all nodes have; an elastic one may grow.
        """
        gpus = self._requested_gpus(job)
        if job.workers is not None:
            most = max(1, slots_now(self._cpus, 1.0 if self._gpus else 0.0))
            if job.workers > most and job.fewest is None:
                self.display.warn(f"{job.name} is to take {job.workers} devices, the nodes have {most}")
                job = replace(job, workers=most)
            assert job.workers is not None
            return replace(job, gpus=float(job.workers) if self._gpus else 0.0)
        if gpus > self._gpus and gpus > (most := most_gpus()):
            self.display.warn(f"{job.name} is to take {gpus:g} GPUs, the largest node has {most:g}")
            gpus = max(self._gpus, most)
        return replace(job, gpus=gpus)

    def _slots_of(self, job: Job) -> int:
        """Number of slots that a job takes."""
        if self._gpus:
            return math.ceil(self._requested_gpus(job) / self._gpus - 1e-9)
        return job.workers or 1

    def _busy_slots(self) -> int:
        """Number of slots that the running jobs take."""
        return sum(self._slots_of(job) for job in self._running.values())

    def _request_nodes(self) -> None:
        """Tell an autoscaling Ray cluster how many tasks wait or run; other clusters ignore it."""
        jobs = [*self._queue, *self._running.values()]
        jobs += [self._prepared[0]] if self._prepared else []
        if os.environ.get("RAY_ADDRESS") and len(jobs) != self._requested:
            request_resources(bundles=[bundle for job in jobs for bundle in self._bundles(job)])
            self._requested = len(jobs)

    def _bundles(self, job: Job) -> list[dict[str, float]]:
        """What a job needs of single nodes."""
        each = self._requested_gpus(job) if job.workers is None else 1.0
        bundle = {"CPU": float(self._cpus)} | ({"GPU": each} if self._gpus else {})
        return [bundle] * (job.workers or 1)

    def _fail(self, job: Job, error: BaseException) -> None:
        """Note that a job failed for good, show it, and write the timesheet."""
        self.failures[job.name] = error
        self.display.fail(job.name, error)
        self._record(job, FAILED)

    def _record(self, job: Job, outcome: str) -> None:
        """Record that a job is ``COMPLETED`` or ``FAILED``, and write the timesheet."""
        width = self._slots_of(job)
        self._recorder.finish(job.name, job.cost, width, outcome)
        if self._timesheet is not None:
            try:
                self._recorder.timesheet(time.monotonic()).write(self._timesheet)
            except OSError as error:
                self.display.warn(f"{self._timesheet}: not written: {error}")


@contextmanager
def _deferred_interrupt() -> Iterator[None]:
    """Delay the KeyboardInterrupt of a Ctrl-C within the block until the block is done."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    ):
        yield
        return
    signals: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: signals.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if signals:
        raise KeyboardInterrupt


def _cause(error: Exception) -> BaseException:
    """The exception that the job itself raised, without Ray's wrapping.

    If the job raised none because its worker was lost, the result is a WorkerLost that says so.
    """
    if isinstance(error, RayTaskError) and error.cause is not None:
        return error.cause
    if isinstance(error, RayError):
        return WorkerLost(f"lost after all retries: {str(error).splitlines()[0]}")
    return error


def _start_job_store(folder: Path) -> Any:
    """Start the job store as a Ray actor on the driver's node, with its checkpoints in ``folder``."""
    actor = ray.remote(JobStore).options(num_cpus=0, scheduling_strategy=_on_this_node())
    return actor.remote(str(folder.resolve()))


def _on_this_node() -> NodeAffinitySchedulingStrategy:
    """Where the driver runs."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
