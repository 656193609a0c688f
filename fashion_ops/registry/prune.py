"""``fashion-ops prune``: what has grown and may go, and what stays and why.

Everything that a restore of a kept version needs stays: its snapshot, its records, its models and its
data. Data at DVC's remote stay in any case.
"""

import shutil
from dataclasses import dataclass

from mlflow import MlflowClient

from fashion_ops.ledger import garbage
from fashion_ops.params import Params
from fashion_ops.registry import snapshot
from fashion_ops.registry.client import connect
from fashion_ops.registry.prune_files import FilesPlan, plan_files
from fashion_ops.registry.prune_versions import (
    Item,
    RegistryPlan,
    delete_from_registry,
    plan_registry,
)
from fashion_ops.registry.transitions import begin_transition
from fashion_ops.workspace import Workspace


@dataclass(frozen=True)
class Plan:
    """What of registry and workspace stays and goes."""

    registry: RegistryPlan
    files: FilesPlan

    @property
    def items(self) -> list[Item]:
        """All rows of the table."""
        return [*self.registry.items, *self.files.items]


def plan(params: Params, ws: Workspace) -> Plan:
    """Find what may go; changes nothing."""
    return _plan(connect(ws.root), params, ws)


def delete(params: Params, ws: Workspace) -> tuple[Plan, bool]:
    """Delete what ``plan`` says goes, while no promotion or rollback can move an alias.

    A process that dies half-way leaves nothing that the next call would not find.

    Returns:
        What was deleted, and whether the registry has freed the files of versions. If not, `mlflow gc`
        on its server frees them.

    Raises:
        LockHeld: a promotion or rollback is in progress.
    """
    client, name = connect(ws.root), params.registration.model
    if not client.search_model_versions(f"name='{name}'"):
        made = _plan(client, params, ws)
        return made, _carry_out(client, name, made, ws)
    with begin_transition(client, name, "prune"):
        made = _plan(client, params, ws)
        return made, _carry_out(client, name, made, ws)


def _plan(client: MlflowClient, params: Params, ws: Workspace) -> Plan:
    """``plan`` for a client from ``client.connect``."""
    registry = plan_registry(client, params.registration.model)
    return Plan(registry, plan_files(params, ws, registry.versions, registry.kept))


def _carry_out(client: MlflowClient, name: str, made: Plan, ws: Workspace) -> bool:
    """Delete what a plan says goes; see ``delete``."""
    for ref in made.files.tags:
        snapshot.git(ws.root, "update-ref", "-d", ref)
    if made.files.garbage is not None:
        garbage.remove(made.files.garbage)
    for path in made.files.resume_points:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return delete_from_registry(client, name, made.registry)
