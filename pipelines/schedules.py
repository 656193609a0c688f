"""The retraining schedules. A run makes only what the ledger calls stale and ends at the gate."""

import dagster as dg

from fashion_ops.params import Retrain
from pipelines.jobs import DESCRIPTIONS, JOBS, stale_only_tags, why_not_now


def make_schedule(job: str, retrain: Retrain) -> dg.ScheduleDefinition:
    """The schedule of a job, ``retrain`` or ``retrain_alignment``, at the times of ``params.yaml``.

    It is stopped by default unless ``retrain.enabled`` is set.
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
