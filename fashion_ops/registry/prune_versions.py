"""What of the registry may go: versions that nobody names, their files, old locks and events.

A version stays if it has an alias (``champion``, ``previous`` and ``challenger`` are aliases), a
description that a person wrote or the tag ``keep``. MLflow deletes in two steps: a deleted run or model
is hidden, and only ``mlflow gc`` frees its files. Where the registry is a database that this process
reaches, the second step follows for exactly what was deleted here; a server has to do it itself.
"""

import re
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO

from mlflow import MlflowClient
from mlflow.artifacts import list_artifacts
from mlflow.entities import Experiment, Run, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fashion_ops.registry import lock, transitions
from fashion_ops.registry.client import EXPERIMENT, LINEAGE_TAG, has_own_description, if_there

KEEP_TAG = "keep"  # tag of a version that is never pruned; any value


@dataclass(frozen=True)
class Item:
    """One row of the table: something that stays or goes."""

    kind: str
    name: str
    num_bytes: int
    goes: bool
    why: str


@dataclass
class RegistryPlan:
    """What stays and goes in the registry.

    Attributes:
        items: all rows of the table.
        versions: that go.
        kept: versions that stay, of this model and of all others.
        runs: ids of the runs that go; a version's run, or one that no version names.
        models: ids of the logged models that go.
        locks: ids of the experiments of released locks that go.
        events: numbers of the events that go.
    """

    items: list[Item] = field(default_factory=list)
    versions: list[ModelVersion] = field(default_factory=list)
    kept: list[ModelVersion] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    events: list[int] = field(default_factory=list)


def plan_registry(client: MlflowClient, name: str) -> RegistryPlan:
    """Divide the registry of the model ``name`` into what stays and what goes; changes nothing."""
    plan = RegistryPlan()
    aliases = _aliases(client, name)
    mine = sorted(_versions(client, f"name='{name}'"), key=lambda v: int(v.version))
    others = [v for v in _versions(client, "") if v.name != name]
    for version in mine:
        reasons = [f"alias {alias}" for alias in aliases.get(str(version.version), [])]
        reasons += ["has a description"] if has_own_description(version) else []
        reasons += [f"tag {KEEP_TAG}"] if KEEP_TAG in version.tags else []
        plan.kept += [version] if reasons else []
        plan.versions += [] if reasons else [version]
        why = ", ".join(reasons) or "no alias, description or tag `keep`"
        size = _size(client, version.run_id, model_of(version))
        plan.items.append(Item("version", f"{name} {version.version}", size, not reasons, why))
    plan.kept += others
    needed = {v.run_id for v in plan.kept}
    plan.runs = [v.run_id for v in plan.versions if v.run_id and v.run_id not in needed]
    needed_models = {model_of(v) for v in plan.kept}
    models = [model_of(v) for v in plan.versions]
    plan.models = [model for model in models if model and model not in needed_models]
    _add_orphans(client, plan, {v.run_id for v in (*mine, *others)})
    _add_locks(client, name, plan)
    _add_events(client, name, plan, {str(v.version) for v in plan.kept if v.name == name})
    return plan


def model_of(version: ModelVersion) -> str | None:
    """Id of the logged model that a version was made from; None if its files are elsewhere."""
    named = re.fullmatch(r"models:/(m-[0-9a-f]+)/?", version.source or "")
    return version.model_id or (named[1] if named else None)


def _aliases(client: MlflowClient, name: str) -> dict[str, list[str]]:
    """The aliases of each version of a model, by its number; empty if it is not registered."""
    with if_there():
        found: dict[str, list[str]] = {}
        for alias, version in client.get_registered_model(name).aliases.items():
            found.setdefault(str(version), []).append(alias)
        return found
    return {}


def _versions(client: MlflowClient, filter_string: str) -> list[ModelVersion]:
    """All versions that fit a filter."""
    versions, token = [], None
    while token != "":
        page = client.search_model_versions(filter_string, page_token=token)
        versions += page
        token = page.token or ""
    return versions


def _add_orphans(client: MlflowClient, plan: RegistryPlan, named: set[str | None]) -> None:
    """Add the runs of versions that are gone, or that ``register`` never finished."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return
    for run in _runs(client, experiment):
        if LINEAGE_TAG not in run.data.tags or run.info.run_id in named:
            continue
        if run.info.status in ("RUNNING", "SCHEDULED"):
            continue
        outputs = run.outputs.model_outputs if run.outputs else []
        models = [output.model_id for output in outputs]
        plan.runs.append(run.info.run_id)
        plan.models += models
        size = _size(client, run.info.run_id, *models)
        plan.items.append(Item("run", run.info.run_id, size, True, "no version names it"))


def _runs(client: MlflowClient, experiment: Experiment) -> list[Run]:
    """All runs of an experiment, deleted ones too."""
    runs, token = [], None
    while token != "":
        page = client.search_runs(
            [experiment.experiment_id], run_view_type=ViewType.ALL, page_token=token
        )
        runs += page
        token = page.token or ""
    return runs


def _add_locks(client: MlflowClient, name: str, plan: RegistryPlan) -> None:
    """Add the released locks of a model, but the newest, whose number the next one follows."""
    released, newest = lock.released_locks(client, name), lock.newest_lock(client, name)
    going = [e for e in released if newest is not None and e.name != newest.name]
    plan.locks = [e.experiment_id for e in going]
    if going:
        text = f"{len(going)} up to {going[-1].name!r}"
        plan.items.append(Item("promotion locks", text, 0, True, "released"))
    if newest is not None:
        why = "the next one has the next number"
        plan.items.append(Item("promotion locks", newest.name, 0, False, why))


def _add_events(client: MlflowClient, name: str, plan: RegistryPlan, kept: set[str]) -> None:
    """Add the events that name no version that stays; the last one and unreadable ones stay."""
    events = transitions.history(client, name)
    for event in events:
        named = {event.version, *event.champion, *event.previous}
        reasons = ["names a version that stays"] if named & kept else []
        reasons += ["can't be read"] if event.what == transitions.UNREADABLE else []
        reasons += ["is the last one"] if event is events[-1] else []
        plan.events += [] if reasons else [event.number]
        why = ", ".join(reasons) or "names no version that stays"
        text = f"{event.number}: {event.what} of version {event.version}"
        plan.items.append(Item("event", text, 0, not reasons, why))


def _size(client: MlflowClient, run_id: str | None, *models: str | None) -> int:
    """Bytes of the artifacts of a run and of logged models; what can't be listed counts as 0."""
    places = []
    with suppress(MlflowException):
        places += [client.get_run(run_id).info.artifact_uri] if run_id else []
    for model in filter(None, models):
        with suppress(MlflowException):
            places.append(client.get_logged_model(model).artifact_location)
    return sum(_bytes(place) for place in filter(None, places))


def _bytes(uri: str) -> int:
    """Bytes of all artifacts at an address and below; 0 if it can't be listed."""
    total, folders = 0, [uri]
    with suppress(MlflowException, OSError):
        while folders:
            folder = folders.pop()
            for found in list_artifacts(artifact_uri=folder):
                if found.is_dir:
                    folders.append(f"{folder.rstrip('/')}/{found.path.rpartition('/')[2]}")
                total += found.file_size or 0
    return total


def delete_from_registry(client: MlflowClient, name: str, plan: RegistryPlan) -> bool:
    """Delete what a plan says goes; a version's files before the version, so that a retry finds it.

    Returns:
        Whether the files are freed; else ``mlflow gc`` must run where the registry is.
    """
    for model in plan.models:
        with if_there():
            client.delete_logged_model(model)
    for run in plan.runs:
        with if_there():
            client.delete_run(run)
    freed = _free(client, plan)
    for version in plan.versions:
        client.delete_model_version(name, version.version)
    for number in plan.events:
        client.delete_registered_model_tag(name, f"{lock.EVENT_TAG}{number:06d}")
    return freed


def _free(client: MlflowClient, plan: RegistryPlan) -> bool:
    """What ``mlflow gc`` does, for the deleted runs, models and locks of a plan and no others.

    The command itself would also take everything that somebody else deleted and may want back.
    """
    store = client._tracking_client.store
    if not hasattr(store, "_hard_delete_run"):
        return not (plan.runs or plan.models or plan.locks)
    from mlflow.cli import _gc_tracking_resources

    hidden = set(store._get_deleted_logged_models())
    with redirect_stdout(StringIO()):
        _gc_tracking_resources(
            backend_store=store,
            run_ids=[run for run in plan.runs if _is_deleted(client, run)],
            experiment_ids=plan.locks,
            logged_model_ids=[model for model in plan.models if model in hidden],
            older_than=None,
            time_delta=0,
            skip_experiments=not plan.locks,
            skip_logged_models=False,
        )
    return True


def _is_deleted(client: MlflowClient, run_id: str) -> bool:
    """Whether a run is deleted but not gone."""
    with if_there():
        return client.get_run(run_id).info.lifecycle_stage == "deleted"
    return False
