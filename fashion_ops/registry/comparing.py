"""What all gates do to compare a challenger with a champion, whatever the models predict.

Today's code may be unable to load the champion: another version of it wrote a file that this one does
not know, or a file is gone. Predictions that the registry keeps are compared all the same. A service
that does not answer says nothing of the champion, so it ends the comparison.
"""

from pathlib import Path
from typing import TypeVar

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.errors.failures import is_of_a_service
from fashion_ops.inference.latency import first_line
from fashion_ops.progress import phase
from fashion_ops.registry import client as registry
from fashion_ops.registry.alignment_set import AlignmentSet
from fashion_ops.registry.frozen_set import FrozenSet
from fashion_ops.services import ServiceError

Frozen = TypeVar("Frozen", FrozenSet, AlignmentSet)


def fetch(version: ModelVersion) -> Path:
    """Download the models of a version; returns their folder."""
    with phase(f"fetch version {version.version}"):
        return registry.fetch_bundle(f"models:/{version.name}/{version.version}")


def why_unloadable(error: Exception) -> str:
    """The reason that an error gives; an error that says nothing of the champion is raised again.

    Raises:
        ServiceError, or what a client of a service raises: the service does not answer.
        WorkerLost, RayError: the cluster has lost workers or nodes.
    """
    from ray.exceptions import RayError  # Ray takes a second to import

    from fashion_ops.distributed.worker import WorkerLost

    if isinstance(error, ServiceError | WorkerLost | RayError) or is_of_a_service(error):
        raise error
    return first_line(error)


def recorded_set(champion: ModelVersion, record: str, frozen: Frozen) -> Frozen | None:
    """The frozen set that the champion was evaluated on, with its predictions.

    Args:
        champion: the version in use.
        record: name of the set among the records of a version.
        frozen: the challenger's.

    Returns:
        None if the champion was evaluated on other images or labels, or has no such record that can be
        read: it was registered before there were any, or the record is gone or damaged.

    Raises:
        ServiceError: the registry does not answer.
    """
    try:
        folder = registry.fetch_record(champion, record)
    except FileNotFoundError:
        return None
    try:
        recorded = type(frozen).read(folder)
    except (FileNotFoundError, ValueError):
        return None
    return recorded if recorded.digest() == frozen.digest() else None
