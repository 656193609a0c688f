"""The sensor that sees new data coming, and the check that names what was refused.

The sensor only counts; judging and versioning can take long and happen in the run that it asks for,
whose first asset is ``batches`` and which goes on to retrain what is stale.
"""

import hashlib

import dagster as dg

from fashion_ops.params import Batches
from pipelines.automation import JOBS, hindrance, what_is_stale
from pipelines.home import RepositoryResource
from pipelines.steps import BATCHES


@dg.asset_check(asset=BATCHES)
def nothing_rejected(house: RepositoryResource) -> dg.AssetCheckResult:
    """Warns while refused batches wait in ``data/rejected`` for somebody to look at them."""
    from fashion_ops.steps.batches import REASON_SUFFIX

    folder = house.workspace.rejected
    names = sorted(p.name for p in folder.glob(f"*{REASON_SUFFIX}")) if folder.is_dir() else []
    return dg.AssetCheckResult(
        passed=not names,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"data/rejected": ", ".join(names) or "empty"},
    )


def make_sensor(settings: Batches) -> dg.SensorDefinition:
    """``new_data``: asks for a run when enough is ready; on where ``params.yaml`` says so."""
    status = dg.DefaultSensorStatus

    @dg.sensor(
        name="new_data",
        job=JOBS["pipeline"],
        minimum_interval_seconds=30,
        default_status=status.RUNNING if settings.enabled else status.STOPPED,
        description="Retrains when enough labelled batches are ready in data/inbox.",
    )
    def sense(
        context: dg.SensorEvaluationContext, house: RepositoryResource
    ) -> dg.RunRequest | dg.SkipReason:
        from fashion_ops.steps.batches import READY_SUFFIX, find_batches

        new = find_batches(house.workspace)
        if why := new.why_wait(house.params().batches.min_images):
            return dg.SkipReason(why)
        if why := hindrance(context.instance, "pipeline"):
            return dg.SkipReason(why)
        inbox = house.workspace.inbox
        marks = [(n, (inbox / f"{n}{READY_SUFFIX}").stat().st_mtime_ns) for n in new.num_images]
        key = hashlib.md5(repr(marks).encode()).hexdigest()  # a run that fails is not asked for again
        return dg.RunRequest(run_key=key, tags=what_is_stale("pipeline"))

    return sense
