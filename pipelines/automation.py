"""What happens without anybody asking: retraining on a schedule, and the sync with ``dvc.lock``.

The schedule is off until somebody turns it on; a run of it remakes only what the ledger calls stale
and ends at the gate of ``promote``. Two runs never share the workspace: a tick stands back while a run
is queued or in progress, and the queue has room for one.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from fashion_ops.ledger import LockEntry
from fashion_ops.params import Retrain
from pipelines import lineage
from pipelines.assets import SKIP_CURRENT_TAG
from pipelines.home import RepositoryResource
from pipelines.metadata import of_entry
from pipelines.run_owner import runs_in_progress
from pipelines.steps import BATCHES, PARENTS, jobs, partitions_of

TEXTS = {
    "pipeline": "All steps on clothes, in order.",
    "alignment": "All steps on landmark alignment, in order.",
}
JOBS = {
    name: dg.define_asset_job(name, dg.AssetSelection.assets(*steps), description=TEXTS[name])
    for name, steps in jobs().items()
}


def all_partitions(steps: tuple[str, ...]) -> dict[str, str]:
    """The tags of a run that takes all partitions of its steps."""
    keys = partitions_of(steps)
    if not keys:
        return {}
    return {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}


def what_is_stale(job: str) -> dict[str, str]:
    """The tags of a run of all of a job's steps that skips what is current."""
    return {**all_partitions(jobs()[job]), SKIP_CURRENT_TAG: "true"}


def hindrance(instance: dg.DagsterInstance, job: str) -> str | None:
    """Why a run of ``job`` should not be requested now; None where nothing is in its way."""
    if busy := runs_in_progress(instance):
        return f"run {busy[0]} is in progress"
    queued = instance.get_runs(
        dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED]), limit=1
    )
    return f"run {queued[0].run_id} is queued already" if queued else None


def make_schedule(job: str, retrain: Retrain) -> dg.ScheduleDefinition:
    """The job at the times of ``params.yaml``; ``retrain`` for the pipeline."""
    status = dg.DefaultScheduleStatus

    @dg.schedule(
        name="retrain" if job == "pipeline" else f"retrain_{job}",
        job=JOBS[job],
        cron_schedule=retrain.cron,
        execution_timezone=retrain.timezone,
        default_status=status.RUNNING if retrain.enabled else status.STOPPED,
        description=f"{TEXTS[job]} What the ledger calls current is skipped.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if why := hindrance(context.instance, job):
            return dg.SkipReason(why)
        return dg.RunRequest(tags=what_is_stale(job))

    return tick


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def dvc_lock(context: dg.SensorEvaluationContext, house: RepositoryResource) -> dg.SkipReason:
    """Reports what ``dvc repro`` or the command line made, so that it shows fresh."""
    lock = house.ledger.lock_file
    digest = hashlib.md5(lock.read_bytes()).hexdigest() if lock.is_file() else "none"
    if digest == context.cursor:
        return dg.SkipReason("dvc.lock is unchanged")
    if busy := runs_in_progress(context.instance):
        return dg.SkipReason(f"run {busy[0]} is in progress and reports for itself")
    reported = replay(context.instance, house)
    context.update_cursor(digest)
    return dg.SkipReason(f"reported {', '.join(reported)}" if reported else "nothing new in dvc.lock")


def replay(instance: dg.DagsterInstance, house: RepositoryResource) -> list[str]:
    """Report what Dagster does not know of ``dvc.lock``; returns the stages' names."""
    md5 = house.ledger.input_md5("ingest", lineage.FOLDERS[BATCHES])
    lineage.report_folder(instance, BATCHES, md5)
    entries = house.ledger.entries()

    def describe(entry: LockEntry) -> Mapping[str, Any]:
        return of_entry(house.workspace, entry, entries)

    return lineage.replay(instance, house.ledger, PARENTS, describe)
