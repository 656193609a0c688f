"""The jobs ``pipeline`` and ``alignment``, and how a run of them is requested."""

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from fashion_ops.files.writers import other_writer
from fashion_ops.workspace import find_root
from pipelines.assets import SKIP_CURRENT_TAG
from pipelines.run_owner import runs_in_progress
from pipelines.steps import partitions_of, steps_by_job

DESCRIPTIONS = {
    "pipeline": "All steps on clothes, in order.",
    "alignment": "All steps on landmark alignment, in order.",
}
JOBS = {
    name: dg.define_asset_job(name, dg.AssetSelection.assets(*steps), description=DESCRIPTIONS[name])
    for name, steps in steps_by_job().items()
}


def all_partitions_tags(steps: tuple[str, ...]) -> dict[str, str]:
    """Dagster's tags of a run that takes all partitions of these steps; empty if they have none."""
    keys = partitions_of(steps)
    if not keys:
        return {}
    return {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}


def stale_only_tags(job: str) -> dict[str, str]:
    """Tags of a run that takes all steps and partitions of a job, and skips those that are current."""
    return {**all_partitions_tags(steps_by_job()[job]), SKIP_CURRENT_TAG: "true"}


def why_not_now(instance: dg.DagsterInstance, job: str) -> str | None:
    """Why a run of ``job`` should not be requested now; None if nothing prevents it.

    Two processes never write to the workspace, and the queue holds at most one run of a job.
    """
    if busy := runs_in_progress(instance):
        return f"run {busy[0]} is in progress"
    if writer := other_writer(find_root()):
        return writer
    queued = instance.get_runs(
        dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED]), limit=1
    )
    return f"run {queued[0].run_id} is queued already" if queued else None
