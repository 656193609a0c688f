"""Runs independent jobs as Ray tasks, on this machine or on the Ray cluster at ``RAY_ADDRESS``.

One job trains one category. The driver prepares it; a worker computes the result without a shared file
system and fetches large data chunk by chunk; the driver writes and records the result. The driver's
disk keeps a checkpoint of each job: if a worker or its node dies, another worker continues from the
last one that arrived. Nothing here depends on what is trained, or on Dagster or DVC.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fashion_ops.distributed.cluster import connect, usable_gpus
from fashion_ops.distributed.driver import Driver, Job, Work
from fashion_ops.distributed.worker import Metrics
from fashion_ops.errors.failures import MISTAKE, exit_status, failure_line
from fashion_ops.params import Distributed


class FanOutError(RuntimeError):
    """Some jobs failed, and all others completed. ``failures`` holds the cause of each by job name."""

    def __init__(self, step: str, failures: Mapping[str, BaseException], total: int) -> None:
        causes = "; ".join(f"{name}: {failure_line(error)}" for name, error in failures.items())
        super().__init__(f"{step}: {len(failures)} of {total} failed: {causes}")
        self.failures = dict(failures)

    @property
    def exit_status(self) -> int:
        """``MISTAKE`` if every cause is one."""
        return min(map(exit_status, self.failures.values()), default=MISTAKE)


def fan_out(
    step: str,
    jobs: Iterable[Job],
    work: Work,
    on_result: Callable[[str, Any], None],
    settings: Distributed,
    checkpoints: Path,
    *,
    timesheet: Path | None = None,
    on_epoch: Callable[[str, int, Metrics], None] | None = None,
) -> None:
    """Run all jobs, the most expensive first, and pass on each result when it arrives.

    Args:
        step: name of the step, for messages.
        jobs: the jobs; names are unique.
        work: a module-level function that runs on a worker as ``work(prepared, checkpoint, on_epoch)``.
            It resumes from the file ``checkpoint`` if that exists, replaces it as often as it wants to
            be resumed from, and calls ``on_epoch(epochs_done, metrics)`` after each epoch, from its own
            process or one that it started. A new checkpoint travels to the driver then, in the
            background unless ``distributed.checkpoint_minutes`` is 0. For a job with ``workers``, see
            ``train_group.run_group``.
        on_result: called on the driver with (job name, result); Ctrl-C waits until it returns. If it
            raises, the job counts as failed and keeps its checkpoint.
        settings: CPUs and GPUs of a task, retries.
        checkpoints: folder on the driver for checkpoints.
        timesheet: JSON file that records which node ran which job from when to when; None for no file.
        on_epoch: called on the driver with (job name, epochs done, metrics) for each epoch.

    Raises:
        FanOutError: at the end, naming every job that failed and why.
        ServiceError: the cluster does not answer, or has had no node for a task for too long.
        ValueError: no node has as many CPUs and GPUs as a task needs.
    """
    queue = sorted(jobs, key=lambda job: (-job.cost, job.name))
    if not queue:
        return
    connect(settings)
    if os.environ.get("RAY_ADDRESS"):  # the workers of one job may have GPUs of several nodes
        one = {"gpus_per_task": min(settings.gpus_per_task, 1.0)}
        settings = settings.model_copy(update=one)
    expected = max(job.fewest or job.workers or 1 for job in queue)
    gpus = usable_gpus(settings, expected)
    driver = Driver(step, queue, work, settings, gpus, checkpoints, timesheet)
    with driver.display:
        try:
            driver.submit()
            while driver.has_work:
                done = driver.wait()
                driver.process_events(on_epoch)
                driver.submit()  # before the results, so that no worker waits for the driver's disk
                for ref, job in done:
                    driver.finish(ref, job, on_result)
        finally:
            driver.stop()
    if driver.failures:
        raise FanOutError(step, driver.failures, len(queue))
