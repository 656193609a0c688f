"""One asset a step, under the step's own name.

Each does the same three things: note the inputs, call the stage function, record the result in
``dvc.lock``. One run of a step with partitions takes any number of them and logs each one as it lands,
with a data version of its own; categories are spread over Ray.

Run tags: ``fashion_ops/skip_current`` leaves out what the ledger calls current (a plain materialization
forces) and says so of each; ``fashion_ops/categories`` names categories that need not be neighbours.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RESUME_RETRY_TAG

from fashion_ops.ledger import Ledger, LockEntry
from fashion_ops.params import Params, Retrain
from fashion_ops.steps import PARTITIONS, REGISTRY
from fashion_ops.taxonomy import CATEGORY_NAMES
from pipelines import lineage, metadata
from pipelines.home import RepositoryResource
from pipelines.run_owner import note_driver
from pipelines.steps import BATCHES, OWNERS, PARENTS, STEPS_SHOWN, Step

SKIP_CURRENT_TAG = "fashion_ops/skip_current"
CATEGORIES_TAG = "fashion_ops/categories"
CURRENT_TAG = "fashion_ops/current"  # what a run found current
POOL = "workspace"  # of one: see infra/dagster.yaml


def say(text: str) -> None:
    """A line for whoever watches the terminal or the step's log."""
    print(text, file=sys.stderr, flush=True)


def may_skip(context: dg.AssetExecutionContext) -> bool:
    """Whether what is current may be left out: when asked for, and in a re-execution from failure."""
    return "true" in (context.run.tags.get(tag) for tag in (SKIP_CURRENT_TAG, RESUME_RETRY_TAG))


def run_step(context: dg.AssetExecutionContext, house: RepositoryResource) -> dg.MaterializeResult:
    """Run a step and record it; or, where that is allowed, find it current."""
    step, ledger, ws = context.asset_key.to_user_string(), house.ledger, house.workspace
    if may_skip(context) and ledger.is_current(step):
        _tell_current(context, house, [step])
        return lineage.no_event()
    say(f"{step}: started")
    snapshot = ledger.snapshot(step)
    metrics = importlib.import_module(f"fashion_ops.steps.{step}").run(house.params(), ws)
    entry = ledger.commit(step, snapshot)
    entries = ledger.entries()
    event = lineage.materialization(context.instance, entry, entries, PARENTS[step])
    if step == "evaluate":
        _tell_judgement(context, house, entries)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(entry.data_version),
        tags=event.tags,
        metadata=metadata.numbers(metrics) | metadata.of_entry(ws, entry, entries),
    )


def run_partitions(
    context: dg.AssetExecutionContext, house: RepositoryResource
) -> dg.MaterializeResult:
    """Run a step for the run's partitions, each recorded and logged as it lands."""
    step, ledger = context.asset_key.to_user_string(), house.ledger
    wanted, by_category = list(context.partition_keys), PARTITIONS[step] == CATEGORY_NAMES
    chosen = context.run.tags.get(CATEGORIES_TAG)
    if chosen and by_category:
        wanted = [name for name in wanted if name in chosen.split(",")]
    if not may_skip(context):
        _make(context, house, step, wanted)
    elif by_category:
        current = [name for name in wanted if ledger.is_current(f"{step}@{name}")]
        _tell_current(context, house, [f"{step}@{name}" for name in current])
        _make(context, house, step, [name for name in wanted if name not in current])
    else:  # each is made from the one before: ask when that is done
        for name in wanted:
            if ledger.is_current(f"{step}@{name}"):
                _tell_current(context, house, [f"{step}@{name}"])
            else:
                _make(context, house, step, [name])
    return lineage.no_event()


def run_registry(context: dg.AssetExecutionContext, house: RepositoryResource) -> dg.MaterializeResult:
    """``register`` and ``promote``: they change MLflow's registry, not a file that DVC knows."""
    step = context.asset_key.to_user_string()
    say(f"{step}: started")
    stage = importlib.import_module(f"fashion_ops.steps.{step}")
    params = house.params()
    metrics = stage.run(params, house.workspace)
    return dg.MaterializeResult(metadata=metadata.numbers(metrics) | _version_link(params, metrics))


def take_batches(context: dg.AssetExecutionContext, house: RepositoryResource) -> dg.MaterializeResult:
    """Take what is ready in the inbox; the data version is that of all accepted batches."""
    from fashion_ops.steps.batches import take  # a second of imports that a page need not wait for

    taken = take(house.params(), house.workspace, house.ledger)
    md5 = house.ledger.input_md5("ingest", lineage.FOLDERS[BATCHES])
    say(f"{BATCHES}: {', '.join(taken.accepted) or taken.waiting or 'nothing sound'}")
    shows = {
        "accepted": ", ".join(taken.accepted) or "none",
        "rejected": "; ".join(f"{name}: {why}" for name, why in taken.rejected.items()) or "none",
        "waiting": taken.waiting or "nothing",
        "dvc md5": md5,
    }
    return dg.MaterializeResult(data_version=dg.DataVersion(md5), metadata=shows)


def _make(
    context: dg.AssetExecutionContext, house: RepositoryResource, step: str, keys: list[str]
) -> None:
    """Make these partitions; say which failed when all others are done."""
    if not keys:
        return
    say(f"{step}: {len(keys)} to do")
    ledger, ws, params = house.ledger, house.workspace, house.params()

    def completed(
        key: str, metrics: Mapping[str, Any], entry: LockEntry, page: str | None = None
    ) -> None:
        entries = ledger.entries()
        shows = metadata.numbers(metrics) | metadata.of_entry(ws, entry, entries)
        if isinstance(page, str):
            shows["mlflow run"] = dg.MetadataValue.url(page)
        context.log_event(
            lineage.materialization(context.instance, entry, entries, PARENTS[step], shows)
        )

    module: Any = importlib.import_module(f"fashion_ops.steps.{step}")
    if PARTITIONS[step] != CATEGORY_NAMES:
        for key in keys:
            snapshot = ledger.snapshot(f"{step}@{key}")
            completed(key, module.run(params, ws, key), ledger.commit(f"{step}@{key}", snapshot))
        return
    from fashion_ops.distributed.by_category import run_all
    from fashion_ops.distributed.fan_out import FanOutError
    from fashion_ops.registry.tracking import FanOutRuns

    def logged(category: str, epoch: int, metrics: Mapping[str, float]) -> None:
        shows = {"epoch": epoch, **metadata.numbers(metrics)}
        context.log_event(dg.AssetObservation(step, partition=category, metadata=shows))

    def linked(category: str, page: str) -> None:
        shows = {"mlflow run": dg.MetadataValue.url(page)}
        context.log_event(dg.AssetObservation(step, partition=category, metadata=shows))

    try:
        recorder = FanOutRuns.of_categories(ws, step, params)
        run_all(module, params, ws, keys, recorder, completed, logged, linked)
    except FanOutError as error:
        causes = {name: f"{type(cause).__name__}: {cause}" for name, cause in error.failures.items()}
        raise dg.Failure(str(error), metadata=causes, allow_retries=False) from error


def _tell_current(
    context: dg.AssetExecutionContext, house: RepositoryResource, stages: list[str]
) -> None:
    """Show that these are skipped, and tell Dagster of those that were made without it."""
    if not stages:
        return
    step, entries = context.asset_key.to_user_string(), house.ledger.entries()
    say(f"{step}: current" + (f" ({len(stages)})" if len(stages) > 1 else ""))
    for stage in stages:
        _, key = lineage.split(stage)
        entry = entries[stage]
        if not lineage.is_known(context.instance, entry):
            shows = metadata.of_entry(house.workspace, entry, entries)
            context.log_event(
                lineage.materialization(context.instance, entry, entries, PARENTS[step], shows)
            )
        told = {"skipped": "current: dvc.lock tells of just these inputs and outputs"}
        told |= {"dvc md5": entry.data_version}
        context.log_event(dg.AssetObservation(step, partition=key, metadata=told))
    run = context.instance.get_run_by_id(context.run_id)
    names = run.tags[CURRENT_TAG].split(", ") if run and CURRENT_TAG in run.tags else []
    names += [] if step in names else [step]
    context.instance.add_run_tags(context.run_id, {CURRENT_TAG: ", ".join(names)})


def _tell_judgement(
    context: dg.AssetExecutionContext, house: RepositoryResource, entries: Mapping[str, LockEntry]
) -> None:
    """Show each category's AP beside the models that it is the AP of."""
    for step in metadata.ROWS:
        for name in PARTITIONS[step]:
            ap = metadata.judged(house.workspace, step, name)
            if f"{step}@{name}" in entries and ap:
                context.log_event(dg.AssetObservation(step, partition=name, metadata=ap))


def _version_link(params: Params, metrics: Mapping[str, Any]) -> dict[str, Any]:
    from fashion_ops.registry.client import version_page

    page = version_page(params.registration.model, metrics["version"])
    return {"model version": dg.MetadataValue.url(page)}


def make_asset(step: Step, code_version: str | None, more: Mapping[str, Any]) -> dg.AssetsDefinition:
    """The asset of one step; ``code_version`` is the ledger's, None for a registry step."""
    body: Callable[..., dg.MaterializeResult] = run_step
    own: dict[str, Any] = dict(more)
    if step.partitions:
        body = run_partitions
        own["partitions_def"] = dg.StaticPartitionsDefinition(list(step.partitions))
        own["backfill_policy"] = dg.BackfillPolicy.single_run()
    elif step.name in REGISTRY:
        body = run_registry
    elif step.name == BATCHES:
        body = take_batches

    def call(context: dg.AssetExecutionContext, house: RepositoryResource) -> dg.MaterializeResult:
        note_driver(context.instance, context.run)
        return body(context, house)

    decorate = dg.asset(
        name=step.name,
        group_name=step.group,
        deps=step.deps,
        description=step.text,
        kinds=set(step.kinds),
        owners=[OWNERS[step.group]],
        code_version=code_version,
        pool=POOL,
        **own,
    )
    return decorate(call)


def make_assets(root: Path, retrain: Retrain) -> list[dg.AssetsDefinition]:
    """All assets of the repository at ``root``, with the code versions that are there now."""
    versions = Ledger(root).code_versions()
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=retrain.overdue_days))
    more = {"register": {"freshness_policy": policy}}
    return [make_asset(s, versions.get(s.name), more.get(s.name, {})) for s in STEPS_SHOWN]
