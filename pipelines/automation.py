"""What happens without anybody asking: the weekly retraining, and the sync with ``dvc.lock``.

The schedule is off until somebody turns it on; a run of it remakes only what the ledger calls stale
and ends at the gate of ``promote``. Two runs never share the workspace: both stand back while one is
in progress.
"""

import hashlib

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from fashion_ops.taxonomy import CATEGORY_NAMES
from pipelines import lineage
from pipelines.assets import PARENTS, SKIP_CURRENT_TAG
from pipelines.drivers import runs_in_progress
from pipelines.home import House

CRON = "0 3 * * 1"  # Mondays at three
ALL_CATEGORIES = {
    ASSET_PARTITION_RANGE_START_TAG: CATEGORY_NAMES[0],
    ASSET_PARTITION_RANGE_END_TAG: CATEGORY_NAMES[-1],
}

pipeline = dg.define_asset_job("pipeline", selection="*", description="All steps, in order.")


@dg.schedule(
    job=pipeline,
    cron_schedule=CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def retrain_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """All steps and categories that are not current, every week; not while a run is in progress."""
    if busy := runs_in_progress(context.instance):
        return dg.SkipReason(f"run {busy[0]} is in progress")
    return dg.RunRequest(tags={**ALL_CATEGORIES, SKIP_CURRENT_TAG: "true"})


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def dvc_lock(context: dg.SensorEvaluationContext, house: House) -> dg.SkipReason:
    """Reports what ``dvc repro`` or the command line made, so that it shows fresh."""
    lock = house.ledger.lock_file
    digest = hashlib.md5(lock.read_bytes()).hexdigest() if lock.is_file() else "none"
    if digest == context.cursor:
        return dg.SkipReason("dvc.lock is unchanged")
    if busy := runs_in_progress(context.instance):
        return dg.SkipReason(f"run {busy[0]} is in progress and reports for itself")
    reported = lineage.replay(context.instance, house.ledger, PARENTS)
    context.update_cursor(digest)
    return dg.SkipReason(f"reported {', '.join(reported)}" if reported else "nothing new in dvc.lock")
