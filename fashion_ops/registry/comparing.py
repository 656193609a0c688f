"""What all gates do to compare a challenger with a champion, whatever the models predict.

Today's code may be unable to load the champion: another version of it wrote a file that this one does
not know, or a file is gone. Predictions that the registry keeps are compared all the same. A service
that does not answer says nothing of the champion, so it ends the comparison.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.failures import is_of_a_service
from fashion_ops.inference.latency import first_line, median_ratio
from fashion_ops.progress import phase
from fashion_ops.registry import client as registry
from fashion_ops.registry.alignment_gate import AlignmentFacts
from fashion_ops.registry.alignment_set import AlignmentSet
from fashion_ops.registry.frozen_set import FrozenSet
from fashion_ops.registry.gate import Facts
from fashion_ops.registry.transitions import ROLLED_BACK
from fashion_ops.services import ServiceError

Frozen = TypeVar("Frozen", FrozenSet, AlignmentSet)
AnyFacts = TypeVar("AnyFacts", Facts, AlignmentFacts)


@dataclass(frozen=True)
class Measurements(Generic[AnyFacts]):
    """What was measured for a decision."""

    facts: AnyFacts  # that the gate decides by
    evaluated: int  # number of images or garments in the challenger's frozen set
    champion_predicted_again: bool  # because it was evaluated on another frozen set
    digest: str  # of the challenger's frozen set
    champion_unloadable: str = ""  # why this code can't load the champion; empty if it can
    reproduced: str = ""  # how the challenger predicts what was evaluated, in words where it takes some


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


def objections_to(challenger: ModelVersion, again: bool, step: str) -> list[str]:
    """One sentence if the challenger was rolled back and ``again`` does not allow it; else empty."""
    reason = challenger.tags.get(ROLLED_BACK)
    if reason is None or again:
        return []
    return [f"version {challenger.version} was rolled back ({reason}); `fashion-ops {step} --again`"]


def photos_of(catalog: Catalog | AlignmentCatalog, names: pd.Series, count: int) -> list[bytes]:
    """The encoded bytes of ``count`` images spread evenly over a frozen set, or of all if fewer.

    Args:
        catalog: holds the images.
        names: file name of the image of each row of the frozen set.
        count: number of rows to take.
    """
    ids = dict(zip(catalog.images["file_name"], catalog.images["image_id"], strict=True))
    rows = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
    return [catalog.image_bytes(int(ids[name])) for name in names.iloc[rows]]


def latency_of(
    times: Sequence[Sequence[float]],
) -> tuple[tuple[float | None, float | None], float | None]:
    """The medians of the times of challenger and champion, and the median of their ratios by photo.

    Args:
        times: milliseconds of each photo, see ``latencies``; of the challenger alone, or of none.

    Returns:
        None for each number that was not measured.
    """
    new, old, *_ = *(statistics.median(milliseconds) for milliseconds in times), None, None
    return (new, old), median_ratio(*times) if len(times) > 1 else None


def megabytes(bundle: Path, old_bundle: Path | None) -> tuple[float, float | None]:
    """Size of all files in the folders of challenger and champion and below, in MB (10^6 bytes)."""
    new, *old = (
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        for folder in filter(None, (bundle, old_bundle))
    )
    return new, old[0] if old else None
