"""The lock that lets one process at a time move the aliases of a registered model.

A lock is an experiment of the registry with a number in its name, because creating an experiment is the
only call that MLflow grants to just one of two callers on any server. Releasing the lock deletes the
experiment; its name stays taken, so the next lock has the next number. A lock whose process has ended
no longer counts.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psutil
from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException

from fashion_ops.registry.client import EXPERIMENT, is_missing

REMOTE_LOCK_EXPIRES = timedelta(hours=6)  # because processes of other hosts can't be looked up


class LockHeld(RuntimeError):
    """Another process moves the aliases of the model; the message names it and its purpose."""


@dataclass(frozen=True)
class PromotionLock:
    """The right to move the aliases of the model ``name``. ``number`` grows with each lock."""

    client: MlflowClient
    name: str
    number: int

    def check(self) -> None:
        """Raise ``LockHeld`` if another process has taken the lock over."""
        newest = _newest(self.client, self.name)
        if newest is None or _number(newest) != self.number:
            raise LockHeld(
                f"{self.name}: lock {self.number} was taken for dead, another process moves the aliases"
            )


@contextmanager
def promotion_lock(client: MlflowClient, name: str, purpose: str) -> Iterator[PromotionLock]:
    """Hold the lock of a model within the block; takes over a lock whose process has ended.

    Args:
        client: from ``client.connect``.
        name: name of the registered model.
        purpose: what the lock is for, shown to processes that find it held.

    Raises:
        LockHeld: another process holds it.
    """
    last = _newest(client, name)
    if last is not None and last.lifecycle_stage == "active" and _is_alive(last):
        raise LockHeld(_describe(last))
    number = 1 if last is None else _number(last) + 1
    main = client.get_experiment_by_name(EXPERIMENT)
    assert main is not None  # ``connect`` makes it
    experiment_name = f"{_prefix(name)}{number:06d}"
    try:
        experiment = client.create_experiment(
            experiment_name, artifact_location=main.artifact_location, tags=_owner_tags(purpose)
        )
    except MlflowException as error:
        winner = client.get_experiment_by_name(experiment_name)
        if winner is None:
            raise
        raise LockHeld(_describe(winner)) from error
    try:
        if last is not None and last.lifecycle_stage == "active":
            _release(client, last.experiment_id)
        yield PromotionLock(client, name, number)
    finally:
        _release(client, experiment)


def _release(client: MlflowClient, experiment_id: str) -> None:
    """Delete the experiment of a lock; does nothing if another process has deleted it already."""
    try:
        client.delete_experiment(experiment_id)
    except MlflowException as error:
        if not is_missing(error):
            raise


def _prefix(name: str) -> str:
    """The names of a model's locks without their numbers."""
    return f"{name}, turn "  # registries in use have such names


def _newest(client: MlflowClient, name: str) -> Experiment | None:
    """The last lock of a model, held or released; None if there was none."""
    experiments = client.search_experiments(
        view_type=ViewType.ALL,
        filter_string=f"name LIKE '{_prefix(name)}%'",
        order_by=["name DESC"],
        max_results=100,
    )
    # LIKE takes "_" in a model's name as a wildcard.
    return next((e for e in experiments if e.name.startswith(_prefix(name))), None)


def _number(experiment: Experiment) -> int:
    """The number at the end of a lock's name."""
    return int(experiment.name.rpartition(" ")[2])


def _owner_tags(purpose: str) -> dict[str, str]:
    """Tags of a lock that say what it is for and which process holds it: this one."""
    return {
        "what": purpose,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "started": f"{psutil.Process().create_time():.2f}",
    }


def _is_alive(experiment: Experiment) -> bool:
    """Whether the process that holds this lock still runs.

    On another host that can't be seen; there it counts as running for ``REMOTE_LOCK_EXPIRES``.
    """
    tags = experiment.tags
    if tags["host"] != socket.gethostname():
        return datetime.now(UTC) - datetime.fromisoformat(tags["since"]) < REMOTE_LOCK_EXPIRES
    try:
        return abs(psutil.Process(int(tags["pid"])).create_time() - float(tags["started"])) < 1
    except psutil.NoSuchProcess:
        return False


def _describe(experiment: Experiment) -> str:
    """Say which process holds a lock, since when and what for, and whether it has just ended."""
    tags = experiment.tags
    over = " and has just ended" if experiment.lifecycle_stage == "deleted" else ""
    return (
        f"{experiment.name}: {tags['what']} by process {tags['pid']} on {tags['host']} since "
        f"{tags['since']} came first{over}; try again when it is done"
    )
