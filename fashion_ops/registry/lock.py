"""The lock that lets one process at a time move the aliases of a registered model.

A lock is an experiment of the registry with a number in its name, because creating an experiment is the
only call that MLflow grants to just one of two callers on any server. Releasing the lock deletes the
experiment; its name stays taken, so the next lock has the next number. A lock whose process has ended
no longer counts.

``mlflow gc`` frees the names of deleted experiments. Numbers grow all the same, because the tags of the
registered model, which it leaves alone, keep the largest number of an event.
"""

import os
import re
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
EVENT_TAG = "event."  # tag of the model that keeps one event: ``event.000012``
LAST_EVENT_TAG = "last_event"  # tag of the model: the largest number of an event so far


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
        newest = newest_lock(self.client, self.name)
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
    last = newest_lock(client, name)
    if last is not None and last.lifecycle_stage == "active" and _is_alive(last):
        raise LockHeld(_describe(last))
    number = 1 + max(_last_event(client, name), 0 if last is None else _number(last))
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


def newest_lock(client: MlflowClient, name: str) -> Experiment | None:
    """The last lock of a model, held or released; None if there was none, or none is left."""
    return max(_locks(client, name, ViewType.ALL), key=_number, default=None)


def released_locks(client: MlflowClient, name: str) -> list[Experiment]:
    """The released locks of a model whose names are still taken, oldest first."""
    return sorted(_locks(client, name, ViewType.DELETED_ONLY), key=_number)


def _locks(client: MlflowClient, name: str, view: int) -> list[Experiment]:
    """All locks of a model, of one of MLflow's ``ViewType``."""
    found, token = [], None
    while token != "":
        page = client.search_experiments(
            view_type=view,
            filter_string=f"name LIKE '{_prefix(name)}%'",
            order_by=["name DESC"],
            page_token=token,
        )
        found += page
        token = page.token or ""
    # LIKE takes "_" in a model's name as a wildcard.
    return [e for e in found if re.fullmatch(re.escape(_prefix(name)) + r"\d+", e.name)]


def _number(experiment: Experiment) -> int:
    """The number at the end of a lock's name."""
    return int(experiment.name.rpartition(" ")[2])


def _last_event(client: MlflowClient, name: str) -> int:
    """The largest number of an event of a model, also of events that were deleted; 0 without any."""
    try:
        tags = client.get_registered_model(name).tags
    except MlflowException as error:
        if not is_missing(error):
            raise
        return 0
    numbers = [key.removeprefix(EVENT_TAG) for key in tags if key.startswith(EVENT_TAG)]
    numbers.append(str(tags.get(LAST_EVENT_TAG, "")))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


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

    That can't be seen on another host, or if somebody edited the tags; there it counts as running for
    ``REMOTE_LOCK_EXPIRES``.
    """
    tags = experiment.tags
    try:
        if tags["host"] == socket.gethostname():
            return abs(psutil.Process(int(tags["pid"])).create_time() - float(tags["started"])) < 1
        since = datetime.fromisoformat(tags["since"])
        return datetime.now(UTC) - since < REMOTE_LOCK_EXPIRES
    except psutil.NoSuchProcess:
        return False
    except (KeyError, ValueError, TypeError):
        since = datetime.fromtimestamp((experiment.creation_time or 0) / 1000, UTC)
        return datetime.now(UTC) - since < REMOTE_LOCK_EXPIRES


def _describe(experiment: Experiment) -> str:
    """Say which process holds a lock, since when and what for, and whether it has just ended."""
    what, pid, host, since = (
        experiment.tags.get(key, "unknown") for key in ("what", "pid", "host", "since")
    )
    over = " and has just ended" if experiment.lifecycle_stage == "deleted" else ""
    return (
        f"{experiment.name}: {what} by process {pid} on {host} since {since} came first{over}; try "
        "again when it is done"
    )
