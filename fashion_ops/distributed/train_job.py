"""Runs one training where its model belongs: in this process, or by workers of the cluster.

A step that trains a model has three parts: ``prepare`` reads inputs on the driver, ``work`` trains
without access to the workspace, ``publish`` writes the result on the driver. ``run_training`` runs the
middle one in this process; with ``RAY_ADDRESS`` in the environment it runs as a Ray Train job, and this
process loads no model and needs no GPU.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from pickle import Pickler
from typing import Any

from pydantic import BaseModel

from fashion_ops.distributed.payload import Result, TrainingJob
from fashion_ops.params import Distributed
from fashion_ops.workspace import Workspace

Work = Callable[..., Result]  # (job, checkpoint, on_epoch, group)


def run_training(
    name: str,
    job: TrainingJob,
    work: Work,
    publish: Callable[[Result], dict[str, float]],
    settings: Distributed,
    ws: Workspace,
    checkpoint: Path | None = None,
) -> dict[str, float]:
    """Train, publish the model, and delete the checkpoint.

    Args:
        name: of the training, for messages.
        job: its input, whose ``devices`` are the workers on a cluster; ``images`` are ``ImageChunks``.
        work: a module-level function that is called as ``work(job, checkpoint, on_epoch, group)``; here
            only with the first two.
        publish: writes the model and returns its metrics.
        settings: CPUs and GPUs of a worker, retries.
        ws: the workspace.
        checkpoint: file in ``ws.checkpoints`` that is written after each epoch, and that the training
            resumes from if it exists. None derives its name from ``job``, here and on a cluster alike.

    Raises:
        Exception: what ``work`` or ``publish`` raised.
        WorkerLost: workers or nodes were lost too often.
    """
    if checkpoint is None:
        checkpoint = ws.checkpoints / f"{name.replace(' ', '-')}-{_digest(job)}"
    if os.environ.get("RAY_ADDRESS"):
        return _run_on_cluster(name, job, work, publish, settings, ws, checkpoint.name)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    metrics = publish(work(job, checkpoint))
    checkpoint.unlink(missing_ok=True)
    return metrics


def _run_on_cluster(
    name: str,
    job: TrainingJob,
    work: Work,
    publish: Callable[[Result], dict[str, float]],
    settings: Distributed,
    ws: Workspace,
    key: str,
) -> dict[str, float]:
    """``run_training`` as a fan-out of one job, whose checkpoint has the name ``key``."""
    from fashion_ops.distributed.fan_out import FanOutError, Job, fan_out

    metrics: dict[str, float] = {}
    on_gpus = settings.gpus_per_task > 0
    one = Job(
        name,
        key,
        float(job.config.epochs * job.samples),
        lambda: job,
        "images",
        job.epochs,
        gpus=float(job.devices) if on_gpus else 0.0,
        workers=job.devices,
        fewest=settings.min_devices,
    )
    try:
        fan_out(
            name,
            [one],
            work,
            lambda _, result: metrics.update(publish(result)),
            settings.model_copy(update={"gpus_per_task": 1.0}) if on_gpus else settings,
            ws.checkpoints,
            timesheet=ws.checkpoints / "timesheets" / f"{name.replace(' ', '-')}.json",
        )
    except FanOutError as error:
        raise error.failures[name] from error
    return metrics


class _ContentPickler(Pickler):
    """Pickles parameters as JSON: their own pickle has a set in it, in the order of this process."""

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled, wherever it is in the value; NotImplemented: as usual."""
        return (str, (obj.model_dump_json(),)) if isinstance(obj, BaseModel) else NotImplemented


def _digest(job: TrainingJob) -> str:
    """A hash of everything in a job that its result depends on, but the images.

    It is the same in every process.
    """
    others = ("images", "devices", "threads", *TrainingJob.settings(Distributed()))
    values = {key: value for key, value in vars(job).items() if key not in others}
    content = BytesIO()
    _ContentPickler(content).dump(values)
    return sha256(content.getvalue()).hexdigest()[:16]
