"""The retraining schedules. A run executes only steps that are stale, and ends with ``promote``."""

import dagster as dg

from fashion_ops.params import Retrain
from pipelines.jobs import DESCRIPTIONS, JOBS, stale_only_tags, why_not_now


def make_schedule(job: str, retrain: Retrain) -> dg.ScheduleDefinition:
    """Make the schedule of a job: ``retrain`` of ``pipeline``, ``retrain_alignment`` of ``alignment``.

    Args:
        job: name of the job.
        retrain: its times, and whether it is on by default.
    """
    status = dg.DefaultScheduleStatus

    @dg.schedule(
        name="retrain" if job == "pipeline" else f"retrain_{job}",
        job=JOBS[job],
        cron_schedule=retrain.cron,
        execution_timezone=retrain.timezone,
        default_status=status.RUNNING if retrain.enabled else status.STOPPED,
        description=f"{DESCRIPTIONS[job]} What the ledger calls current is skipped.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if reason := why_not_now(context.instance, job):
            return dg.SkipReason(reason)
        return dg.RunRequest(tags=stale_only_tags(job))

    return tick
