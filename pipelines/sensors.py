"""The sensors: new data, changes of ``dvc.lock``, failed and overdue runs, undelivered alarms.

They live while ``params.yaml``, ``dvc.yaml`` or ``dvc.lock`` are broken. Alarms take their settings
from the last valid ``params.yaml``. A sensor that needs the present one says what is broken.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState

from fashion_ops.ledger import LedgerError, LockEntry
from fashion_ops.params import Batches
from pipelines import lineage
from pipelines.jobs import JOBS, stale_only_tags, why_not_now
from pipelines.metadata import describe_entry, failure_cause
from pipelines.notify import champion_status, deliver, raise_alarm
from pipelines.resources import RepositoryResource
from pipelines.run_owner import runs_in_progress
from pipelines.steps import BATCHES, PARENTS

OVERDUE = dg.AssetKey("register")  # every complete run materializes it, even if no model is new


def make_new_data_sensor(settings: Batches) -> dg.SensorDefinition:
    """Make the sensor ``new_data``: it requests a run when ``data/inbox`` has enough labelled images.

    It only counts. The asset ``batches`` of the run checks and versions the batches, which can take
    long.
    """
    status = dg.DefaultSensorStatus

    @dg.sensor(
        name="new_data",
        job=JOBS["pipeline"],
        minimum_interval_seconds=30,
        default_status=status.RUNNING if settings.enabled else status.STOPPED,
        description="Retrains when enough labelled batches are ready in data/inbox.",
    )
    def evaluate(
        context: dg.SensorEvaluationContext, repository: RepositoryResource
    ) -> dg.RunRequest | dg.SkipReason:
        from fashion_ops.steps.batches import find_batches

        batches = find_batches(repository.workspace)
        try:
            min_images = repository.params().batches.min_images
        except ValueError as error:
            return dg.SkipReason(f"batches wait until this is repaired: {_one_line(error)}")
        if reason := batches.why_wait(min_images):
            return dg.SkipReason(reason)
        if reason := why_not_now(context.instance, "pipeline"):
            return dg.SkipReason(reason)
        # The same batches start only one run.
        return dg.RunRequest(run_key=batches.version, tags=stale_only_tags("pipeline"))

    return evaluate


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def dvc_lock(context: dg.SensorEvaluationContext, repository: RepositoryResource) -> dg.SkipReason:
    """Reports what ``dvc repro`` or the command line made, so that Dagster shows it as fresh."""
    lock = repository.ledger.lock_file
    digest = hashlib.md5(lock.read_bytes()).hexdigest() if lock.is_file() else "none"
    if digest == context.cursor:
        return dg.SkipReason("dvc.lock is unchanged")
    if busy := runs_in_progress(context.instance):
        return dg.SkipReason(f"run {busy[0]} is in progress and reports for itself")
    try:
        reported = report_entries(context.instance, repository)
    except LedgerError as error:
        return dg.SkipReason(f"not reported until this is repaired: {_one_line(error)}")
    context.update_cursor(digest)
    return dg.SkipReason(f"reported {', '.join(reported)}" if reported else "nothing new in dvc.lock")


def report_entries(instance: dg.DagsterInstance, repository: RepositoryResource) -> list[str]:
    """Report all lock entries, and the accepted batches, that Dagster does not know yet.

    Returns:
        Names of the stages whose entries were reported.
    """
    md5 = repository.ledger.input_md5("ingest", lineage.FOLDERS[BATCHES])
    lineage.report_folder(instance, BATCHES, md5)
    entries = repository.ledger.entries()

    def describe(entry: LockEntry) -> Mapping[str, Any]:
        return describe_entry(repository.workspace, entry, entries)

    return lineage.report_unknown(instance, repository.ledger, PARENTS, describe)


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=30)
def failed_runs(context: dg.RunFailureSensorContext, repository: RepositoryResource) -> None:
    """Sends an alert for every failed run, with the failed steps, their causes and the champion."""
    run = context.dagster_run
    causes = [
        f"{event.step_key}: {failure_cause(event.step_failure_data)}"
        for event in context.get_step_failure_events()
    ]
    params = repository.settings()
    trigger = run.tags.get("dagster/schedule_name") or run.tags.get("dagster/sensor_name") or "by hand"
    champion = champion_status(repository.workspace, params.registration.model)
    text = f"run {run.run_id} of {run.job_name} ({trigger}) failed: "
    text += f"{'; '.join(causes) or context.failure_event.message}. {champion.capitalize()}."
    facts = {"run": run.run_id, "job": run.job_name, "steps": causes, "champion": champion}
    raise_alarm(repository.workspace, params.notify, "run_failed", run.run_id, text, **facts)


@dg.sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=60)
def overdue(context: dg.SensorEvaluationContext, repository: RepositoryResource) -> dg.SkipReason:
    """Sends one alert when no run has reached ``register`` for ``retrain.overdue_days``."""
    records = context.instance.get_freshness_state_records([OVERDUE])
    state = records[OVERDUE].freshness_state if OVERDUE in records else FreshnessState.UNKNOWN
    if state == FreshnessState.FAIL and context.cursor != state.value:
        params = repository.settings()
        text = f"no run has reached register for {params.retrain.overdue_days:g} days"
        since = records[OVERDUE].updated_at.isoformat()
        raise_alarm(
            repository.workspace, params.notify, "overdue", since, text, asset="register", since=since
        )
    context.update_cursor(state.value)
    return dg.SkipReason(f"freshness of register: {state.value}")


@dg.sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=60)
def alarms(context: dg.SensorEvaluationContext, repository: RepositoryResource) -> dg.SkipReason:
    """Posts the alarms that the webhook has not accepted yet."""
    return dg.SkipReason(deliver(repository.workspace, repository.settings().notify) or "none waits")


def _one_line(error: Exception) -> str:
    """The message of an error with its lines joined."""
    return " ".join(str(error).split())
