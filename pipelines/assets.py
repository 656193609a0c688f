"""The assets: one for each step, under the name of the step, and ``batches``.

An asset hashes its inputs, calls the step, and records the result in ``dvc.lock``. A run of a step with
partitions takes any number of them and logs each one, with its own data version, when it completes;
categories run in parallel on Ray.

Tags of a run: ``fashion_ops/skip_current`` skips what is current in the ledger (without it, a
materialization runs everything); ``fashion_ops/categories`` names the categories to run, separated by
commas (a range of Dagster partitions could only name neighbours).
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RESUME_RETRY_TAG

from fashion_ops.errors.failures import failure_line
from fashion_ops.ledger import Ledger, LedgerError, LockEntry
from fashion_ops.params import Retrain
from fashion_ops.steps import PARTITIONS, REGISTRY
from fashion_ops.taxonomy import CATEGORY_NAMES
from pipelines import lineage, metadata
from pipelines.resources import RepositoryResource
from pipelines.run_owner import become_writer, tag_owner
from pipelines.steps import ASSETS, BATCHES, OWNERS, PARENTS, StepAsset

SKIP_CURRENT_TAG = "fashion_ops/skip_current"
CATEGORIES_TAG = "fashion_ops/categories"
CURRENT_TAG = "fashion_ops/current"  # names the steps that a run skipped
POOL = "workspace"  # allows one step at a time: see infra/dagster.yaml

Context = dg.AssetExecutionContext


def make_assets(root: Path, retrain: Retrain, run_cluster: bool = False) -> list[dg.AssetsDefinition]:
    """Make all assets of the repository at ``root``.

    Args:
        root: of the repository.
        retrain: ``overdue_days`` is the freshness policy of ``register``.
        run_cluster: whether the resource ``ray_cluster`` gives each run a Ray cluster of its own.
    """
    try:
        versions = Ledger(root).code_versions()
    except LedgerError as error:  # the steps of a run raise it again
        say(f"steps have no code version: {error}")
        versions = {}
    overdue = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=retrain.overdue_days))
    options = {"register": {"freshness_policy": overdue}}
    return [
        make_asset(s, versions.get(s.name), options.get(s.name, {}), run_cluster and "ray" in s.kinds)
        for s in ASSETS
    ]


def make_asset(
    step: StepAsset, code_version: str | None, options: Mapping[str, Any], run_cluster: bool = False
) -> dg.AssetsDefinition:
    """Make the asset of one step.

    Args:
        step: its name, group, dependencies and description.
        code_version: see ``Ledger.code_versions``; None for steps that the ledger does not record.
        options: more arguments of ``dg.asset``.
        run_cluster: whether it needs the resource ``ray_cluster``.
    """
    body: Callable[[Context, RepositoryResource], dg.MaterializeResult] = run_step
    options = dict(options)
    if step.partitions:
        body = run_partitions
        options["partitions_def"] = dg.StaticPartitionsDefinition(list(step.partitions))
        options["backfill_policy"] = dg.BackfillPolicy.single_run()
    elif step.name in REGISTRY:
        body = run_registry_step
    elif step.name == BATCHES:
        body = run_batches

    def run(context: dg.AssetExecutionContext, repository: RepositoryResource) -> dg.MaterializeResult:
        tag_owner(context.instance, context.run)
        try:
            repository.params()  # a broken file fails every run, also one that would skip all steps
            become_writer(repository.workspace, context.run_id)
            return body(context, repository)
        except dg.Failure:
            raise
        except Exception as error:
            raise metadata.step_failure(error) from error

    def run_on_cluster(
        context: dg.AssetExecutionContext,
        repository: RepositoryResource,
        ray_cluster: dg.ResourceParam[Any],  # `join_run_cluster` takes it from the context
    ) -> dg.MaterializeResult:
        return run(context, repository)

    decorate = dg.asset(
        name=step.name,
        group_name=step.group,
        deps=step.deps,
        description=step.description,
        kinds=set(step.kinds),
        owners=[OWNERS[step.group]],
        code_version=code_version,
        pool=POOL,
        **options,
    )
    return decorate(run_on_cluster if run_cluster else run)


def run_step(context: Context, repository: RepositoryResource) -> dg.MaterializeResult:
    """Run the step of an asset without partitions and record it in the ledger.

    The step is skipped if it is current and ``may_skip`` allows it.
    """
    step, ledger, ws = context.asset_key.to_user_string(), repository.ledger, repository.workspace
    if may_skip(context) and ledger.make_current(step):
        _log_skipped(context, repository, [step])
        return lineage.no_event()
    say(f"{step}: started")
    join_run_cluster(context)
    snapshot = ledger.snapshot(step)
    metrics = _module(step).run(repository.params(), ws)
    entry = ledger.commit(step, snapshot)
    entries = ledger.entries()
    event = lineage.materialization(context.instance, entry, entries, PARENTS[step])
    if step == "evaluate":
        _log_category_metrics(context, repository, entries)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(entry.data_version),
        tags=event.tags,
        metadata=metadata.numbers(metrics) | metadata.describe_entry(ws, entry, entries),
    )


def run_partitions(context: Context, repository: RepositoryResource) -> dg.MaterializeResult:
    """Run a step for the partitions of the run; each is recorded and logged when it completes.

    Partitions that are current are skipped if ``may_skip`` allows it.
    """
    step, ledger = context.asset_key.to_user_string(), repository.ledger
    keys, by_category = list(context.partition_keys), PARTITIONS[step] == CATEGORY_NAMES
    selected = context.run.tags.get(CATEGORIES_TAG)
    if selected and by_category:
        keys = [name for name in keys if name in selected.split(",")]
    if not may_skip(context):
        _run_keys(context, repository, step, keys)
    elif by_category:
        current = [name for name in keys if ledger.make_current(f"{step}@{name}")]
        _log_skipped(context, repository, [f"{step}@{name}" for name in current])
        _run_keys(context, repository, step, [name for name in keys if name not in current])
    else:  # each partition is made from the one before, so it may only be checked when that is done
        for key in keys:
            if ledger.make_current(f"{step}@{key}"):
                _log_skipped(context, repository, [f"{step}@{key}"])
            else:
                _run_keys(context, repository, step, [key])
    return lineage.no_event()


def run_registry_step(context: Context, repository: RepositoryResource) -> dg.MaterializeResult:
    """Run a step that changes the MLflow registry and no file of the ledger."""
    from fashion_ops.registry.client import version_page

    step = context.asset_key.to_user_string()
    say(f"{step}: started")
    join_run_cluster(context)
    module, params = _module(step), repository.params()
    metrics = module.run(params, repository.workspace)
    alignment = step.endswith("_alignment")
    name = params.register_alignment.model if alignment else params.registration.model
    page = version_page(name, metrics["version"])
    link = {"model version": dg.MetadataValue.url(page)}
    return dg.MaterializeResult(metadata=metadata.numbers(metrics) | link)


def run_batches(context: Context, repository: RepositoryResource) -> dg.MaterializeResult:
    """Check the complete batches in ``data/inbox`` and version the valid ones.

    The data version of the asset is the md5 of the folder with all accepted batches.
    """
    from fashion_ops.steps.batches import process_batches  # slow to import, so not at the start

    results = process_batches(repository.params(), repository.workspace, repository.ledger)
    md5 = repository.ledger.input_md5("ingest", lineage.FOLDERS[BATCHES])
    say(f"{BATCHES}: {', '.join(results.accepted) or results.waiting or 'no valid batch'}")
    stuck = "; ".join(f"{name}: {why}" for name, why in results.stuck.items())
    if stuck:
        say(f"{BATCHES}: still in {repository.workspace.inbox}: {stuck}")
    facts = {
        "accepted": ", ".join(results.accepted) or "none",
        "rejected": "; ".join(f"{name}: {why}" for name, why in results.rejected.items()) or "none",
        "waiting": results.waiting or "nothing",
        "stuck": stuck or "none",
        "dvc md5": md5,
    }
    return dg.MaterializeResult(data_version=dg.DataVersion(md5), metadata=facts)


def say(text: str) -> None:
    """Print a line to standard error: the terminal, or the log of the Dagster step."""
    print(text, file=sys.stderr, flush=True)


def join_run_cluster(context: Context) -> None:
    """Join the Ray cluster of this run, if each run has its own; the first step that needs it makes it.

    Steps that are skipped need none. Afterwards RAY_ADDRESS is that cluster's.
    """
    cluster = getattr(context.resources, "ray_cluster", None)
    if cluster is not None:
        cluster.join(context)


def may_skip(context: Context) -> bool:
    """Whether the run skips what is current: if its tag says so, or if it retries a failed run."""
    return "true" in (context.run.tags.get(tag) for tag in (SKIP_CURRENT_TAG, RESUME_RETRY_TAG))


def _module(step: str) -> Any:
    """Import the module of a step."""
    return importlib.import_module(f"fashion_ops.steps.{step}")


def _run_keys(context: Context, repository: RepositoryResource, step: str, keys: list[str]) -> None:
    """Run a step for these partitions.

    Raises:
        dg.Failure: at the end, naming the categories that failed; all others are done.
    """
    if not keys:
        return
    say(f"{step}: {len(keys)} to do")
    join_run_cluster(context)
    module, ledger = _module(step), repository.ledger
    ws, params = repository.workspace, repository.params()

    def log_completed(
        key: str, metrics: Mapping[str, Any], entry: LockEntry, page: str | None = None
    ) -> None:
        entries = ledger.entries()
        facts = metadata.numbers(metrics) | metadata.describe_entry(ws, entry, entries)
        if isinstance(page, str):
            facts["mlflow run"] = dg.MetadataValue.url(page)
        event = lineage.materialization(context.instance, entry, entries, PARENTS[step], facts)
        context.log_event(event)

    if PARTITIONS[step] != CATEGORY_NAMES:
        for key in keys:
            snapshot = ledger.snapshot(f"{step}@{key}")
            metrics = module.run(params, ws, key)
            log_completed(key, metrics, ledger.commit(f"{step}@{key}", snapshot))
        return
    from fashion_ops.distributed.by_category import run_all
    from fashion_ops.distributed.fan_out import FanOutError
    from fashion_ops.registry.tracking import CategoryRuns

    def log_epoch(category: str, epoch: int, metrics: Mapping[str, float]) -> None:
        facts = {"epoch": epoch, **metadata.numbers(metrics)}
        context.log_event(dg.AssetObservation(step, partition=category, metadata=facts))

    def log_page(category: str, page: str) -> None:
        facts = {"mlflow run": dg.MetadataValue.url(page)}
        context.log_event(dg.AssetObservation(step, partition=category, metadata=facts))

    try:
        recorder = CategoryRuns.of_categories(ws, step, params)
        run_all(module, params, ws, keys, recorder, log_completed, log_epoch, log_page)
    except FanOutError as error:
        causes = {name: failure_line(cause) for name, cause in error.failures.items()}
        causes |= {metadata.STATUS: error.exit_status}
        raise dg.Failure(str(error), metadata=causes, allow_retries=False) from error


def _log_skipped(context: Context, repository: RepositoryResource, stages: list[str]) -> None:
    """Log that stages are skipped because they are current.

    Those that ran without Dagster are reported as materializations first. A tag of the run gets the
    name of the step.
    """
    if not stages:
        return
    step, entries = context.asset_key.to_user_string(), repository.ledger.entries()
    say(f"{step}: current" + (f" ({len(stages)})" if len(stages) > 1 else ""))
    for stage in stages:
        _, key = lineage.split(stage)
        entry = entries[stage]
        if not lineage.is_known(context.instance, entry):
            facts = metadata.describe_entry(repository.workspace, entry, entries)
            event = lineage.materialization(context.instance, entry, entries, PARENTS[step], facts)
            context.log_event(event)
        facts = {
            "skipped": "current: dvc.lock has an entry of these inputs and outputs",
            "dvc md5": entry.data_version,
        }
        context.log_event(dg.AssetObservation(step, partition=key, metadata=facts))
    run = context.instance.get_run_by_id(context.run_id)
    names = run.tags[CURRENT_TAG].split(", ") if run and CURRENT_TAG in run.tags else []
    names += [] if step in names else [step]
    context.instance.add_run_tags(context.run_id, {CURRENT_TAG: ", ".join(names)})


def _log_category_metrics(
    context: Context, repository: RepositoryResource, entries: Mapping[str, LockEntry]
) -> None:
    """Log the AP of each category as observations of the assets whose models were evaluated."""
    for step in metadata.VARIANTS:
        for name in PARTITIONS[step]:
            ap = metadata.category_ap(repository.workspace, step, name)
            if f"{step}@{name}" in entries and ap:
                context.log_event(dg.AssetObservation(step, partition=name, metadata=ap))
